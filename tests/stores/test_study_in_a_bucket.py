"""A study whose workdir is a bucket, and an evaluation of one of its runs, end as they do on a disk."""

import json

import pytest

from pixjax.cli import main
from pixjax.paths import user_path

STUDY = """
import ml_collections
def get_study():
    return {{
        "title": "in a bucket",
        "base": ml_collections.ConfigDict({base!r}),
        "seeds": (0,),
        "arms": {{"mixed": {{"changes": {{}}}}, "tuned": {{"changes": {{}}, "start_from": "mixed"}}}},
        "comparisons": [{{"name": "tuning", "reference": "mixed", "arm": "tuned"}}],
    }}
"""


@pytest.fixture(scope="module")
def folders(gcs, tmp_path_factory, tiny_config):
    """What the same two commands make in a bucket and on a disk."""
    local = tmp_path_factory.mktemp("studied")
    evaluation = {"canvases": 4, "samples": 2, "num_times": 1, "batch_size": 4, "reference_characters": 2000}
    evaluation["test"] = ["demo:text?part=held_out", "demo:images"]
    base = tiny_config(training={"steps": 2, "decay": "constant"}, evaluation=evaluation).to_dict()
    (local / "study.py").write_text(STUDY.format(base=base))
    made = user_path("gs://bucket/studied"), user_path(local / "studied")
    for folder in made:
        assert main(["study", f"--config={local / 'study.py'}", f"--workdir={folder}"]) == 0
        run, out = folder / "runs" / "tuned-seed0", folder / "evaluated"
        assert main(["evaluate", f"--workdir={run}", f"--out={out}"]) == 0
    return made


def read(path, folder):
    return json.loads(path.read_text().replace(str(folder), "FOLDER"))


@pytest.mark.parametrize("name", ["results.json", "evaluated/metrics.json"])
def test_figures_are_those_of_a_disk(folders, name):
    bucket, disk = (read(folder / name, folder) for folder in folders)
    assert bucket == disk
    assert "nan" not in json.dumps(bucket).lower()


def test_everything_that_is_on_the_disk_is_in_the_bucket(folders):
    bucket, disk = folders
    on_disk = {str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file()}
    in_bucket = set(bucket.files_below())
    for name in ("report.html", "results.json", "evaluated/report.html", "evaluated/metrics.json"):
        assert name in in_bucket
        assert (bucket / name).read_bytes()
    pictures = {name for name in on_disk if name.endswith(".png")}
    assert pictures <= in_bucket

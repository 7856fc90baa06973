"""A study whose workdir is a bucket, and an evaluation of one of its runs, end as they do on a disk."""

import json
import pathlib

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
        "arms": {{"mixed": {{"changes": {{}}}}}},
        "comparisons": [],
    }}
"""


@pytest.fixture(scope="module")
def folders(bucket, tmp_path_factory, tiny_config):
    """What the same two commands make in a bucket and on a disk."""
    local = tmp_path_factory.mktemp("studied")
    evaluation = {"canvases": 4, "samples": 1, "num_times": 1, "batch_size": 4, "reference_characters": 2000}
    evaluation["test"] = ["demo:text?part=held_out", "demo:images"]
    base = tiny_config(training={"steps": 2, "decay": "constant"}, evaluation=evaluation).to_dict()
    (local / "study.py").write_text(STUDY.format(base=base))
    made = user_path(f"{bucket.address}/studied"), user_path(local / "studied")
    for folder in made:
        assert main(["study", f"--config={local / 'study.py'}", f"--workdir={folder}"]) == 0
        run, out = folder / "runs" / "mixed-seed0", folder / "evaluated"
        assert main(["evaluate", f"--workdir={run}", f"--out={out}"]) == 0
    return made


def timeless(value):
    """Less what depends on the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "forward_share")}
    return value


def test_they_end_as_on_a_disk(folders):
    bucket, disk = folders
    for name in ("results.json", "evaluated/metrics.json"):
        found, expected = (
            timeless(json.loads((folder / name).read_text().replace(str(folder), "DIR"))) for folder in folders
        )
        assert found == expected
        assert found
    here = pathlib.Path(disk)
    on_disk = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    samples = {name for name in on_disk if "/samples/" in name}
    assert {"text", "image", "any"} <= {name.split("/samples/")[1].split("/")[0] for name in samples}
    assert samples | {"report.html", "evaluated/report.html"} <= set(bucket.files_below())
    for name in samples:
        assert (bucket / name).read_bytes() == (disk / name).read_bytes()

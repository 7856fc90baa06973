"""A tiny mixed run that has been trained and evaluated once, for all that is asked of an evaluation."""

import pytest
from etils import epath

from pixjax.cli import main
from pixjax.training.train import train

EVALUATION = {
    "test": ["demo:text?part=held_out", "demo:images"],
    "canvases": 8, "samples": 4, "num_times": 2, "batch_size": 4, "reference_characters": 4000,
}  # fmt: skip


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, tiny_config):
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    data = {"sources": ["demo:text?part=train", "demo:images"]}
    train(tiny_config(data=data, training={"steps": 2}, evaluation=EVALUATION), folder)
    return folder


@pytest.fixture(scope="session")
def evaluated(workdir, tmp_path_factory):
    out = epath.Path(tmp_path_factory.mktemp("out"))
    assert main(["evaluate", f"--workdir={workdir}", f"--out={out}"]) == 0
    return out


@pytest.fixture
def evaluated_copy(evaluated, tmp_path):
    """What is measured already is kept there, and more may be measured without a model."""
    for path in evaluated.glob("parts/*"):
        (tmp_path / "out" / "parts").mkdir(parents=True, exist_ok=True)
        path.copy(tmp_path / "out" / "parts" / path.name)
    return epath.Path(tmp_path / "out")

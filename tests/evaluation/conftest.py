"""The tiny run, evaluated once for all that is asked of an evaluation; and torch-fidelity, where it is installed."""

import importlib

import pytest
from etils import epath

from pixjax.cli import main


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


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def torch_fidelity(torch):
    try:
        return importlib.import_module("torch_fidelity")
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision built for another torch
        pytest.skip(f"torch-fidelity does not import: {error}")

"""The tiny run as a command of its own, so that it can be killed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

TRAIN = [sys.executable, "-m", "pixjax.cli", "train"]


@pytest.fixture(scope="session")
def config_file(tmp_path_factory, tiny_config):
    """The tiny config as a file, for the command line."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    values = tiny_config().to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path


@pytest.fixture(scope="session")
def start(config_file):
    """`start(workdir, "training.steps=9")` is a running `pixjax train`; its errors are piped."""

    def begin(workdir: pathlib.Path, *settings: str, arguments: tuple[str, ...] = (), devices: int = 1):
        overrides = [f"--config.{setting}" for setting in settings]
        command = [*TRAIN, f"--config={config_file}", f"--workdir={workdir}", *arguments, *overrides]
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.fixture(scope="session")
def finish():
    """Waits for a process, and says how it ended and what it wrote."""

    def wait(process: subprocess.Popen, code: int = 0) -> str:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == code, error
        return error

    return wait


@pytest.fixture(scope="session")
def curve():
    """The logged lines of a workdir, less what depends on the clock."""

    def read(workdir: pathlib.Path) -> list[dict]:
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        return [
            {k: v for k, v in line.items() if k not in ("canvases_per_second", "data/wait_share")} for line in lines
        ]

    return read

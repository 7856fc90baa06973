"""The tiny run as a command of its own, so that it can be killed."""

import json
import pathlib
import subprocess
import time

import pytest
from forked import Forked


@pytest.fixture(scope="session")
def config_file(tmp_path_factory, tiny_config):
    """The tiny config as a file, for the command line."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    values = tiny_config().to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path


@pytest.fixture(scope="session")
def start(config_file, fork_server, tmp_path_factory):
    """`start(workdir, "training.steps=9")` is a running `pixjax train`, and `it.log` the file of what it tells.

    It writes to a file: a pipe that nobody reads would stop it.
    """

    def begin(
        workdir: pathlib.Path, *settings: str, arguments: tuple[str, ...] = (), devices: int = 1, script: str = ""
    ):
        overrides = [f"--config.{setting}" for setting in settings]
        command = ["train", f"--config={config_file}", f"--workdir={workdir}", *arguments, *overrides]
        log = tmp_path_factory.mktemp("log") / "stderr"
        script = script and str(pathlib.Path(__file__).with_name(script))
        process = fork_server.start(command, log, devices=devices, script=script)
        process.log = log
        return process

    return begin


@pytest.fixture(scope="session")
def finish():
    """Waits for a process, and says how it ended and what it wrote."""

    def wait(process: Forked, code: int = 0) -> str:
        process.wait(timeout=300)
        said = process.log.read_text()
        assert process.returncode == code, said
        return said

    return wait


@pytest.fixture(scope="session")
def wait_for():
    """`wait_for(condition, process)` returns when it holds, and fails when the process ends or minutes pass before."""

    def wait(condition, process: Forked | subprocess.Popen, seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, process.log.read_text() if hasattr(process, "log") else "it ended"
            assert time.monotonic() < deadline, "nothing came for long"
            time.sleep(0.002)

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

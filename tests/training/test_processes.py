"""The command `pixjax train` in processes of its own: other devices, and signals."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture(scope="module")
def config_file(tmp_path_factory, tiny_config):
    """The tiny config as a file, for the command line."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    values = tiny_config().to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path


def command(config_file, workdir, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "pixjax.cli", "train", f"--config={config_file}", f"--workdir={workdir}", *overrides]


def losses(workdir) -> list[float]:
    return [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_two_devices_learn_what_one_learns(config_file, tmp_path):
    for devices, mesh in ((1, "data=1"), (2, "fsdp=2")):
        arguments = command(config_file, tmp_path / str(devices), f"--config.training.mesh.{mesh}")
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert f"on {devices} cpu device(s)" in done.stderr
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-4)


def test_sigterm_saves_and_exits_cleanly_and_the_same_command_continues(config_file, tmp_path):
    long = command(config_file, tmp_path, "--config.training.steps=100000", "--config.training.checkpoint_every=100000")
    run = subprocess.Popen(long, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not ((tmp_path / "metrics.jsonl").exists() and losses(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 0, error
    assert "stopped by SIGTERM at step" in error
    stopped = len(losses(tmp_path))
    again = command(config_file, tmp_path, f"--config.training.steps={stopped + 2}")
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"continuing at step {stopped}" in done.stderr
    assert len(losses(tmp_path)) == stopped + 2

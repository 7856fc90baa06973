"""The command `pixjax train` in processes of its own: other devices, and signals."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest


@pytest.fixture(scope="module")
def config_file(tmp_path_factory, tiny_config):
    """A tiny config as a file, for the command line; every kind of layer that there is, for a mesh to split."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    codebook = {"codebook_head": True, "codebook_input": True, "cell_layers": 1, "cell_width": 16}
    model = {"tagging": "both", "modality_mlp": True, **codebook}
    values = tiny_config(model=model, diffusion={"time": {"text": "adaptive:-6:10"}}).to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path


def command(config_file, workdir, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "pixjax.cli", "train", f"--config={config_file}", f"--workdir={workdir}", *overrides]


def losses(workdir) -> list[float]:
    return [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def run(arguments: list[str], devices: int = 1, **launcher: str) -> subprocess.Popen:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | launcher
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def finish(*processes: subprocess.Popen) -> list[str]:
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), errors
    return errors


@pytest.fixture(scope="module")
def reference(config_file, tmp_path_factory):
    """The losses of ten steps on one device."""
    workdir = tmp_path_factory.mktemp("reference")
    finish(run(command(config_file, workdir, "--config.training.steps=10")))
    return losses(workdir)


@pytest.mark.parametrize(
    ("devices", "mesh"), [(2, {"fsdp": 2}), (2, {"tensor": 2}), (8, {"data": 2, "fsdp": 2, "tensor": 2})]
)
def test_a_mesh_learns_what_one_device_learns(config_file, tmp_path, reference, devices, mesh):
    axes = [f"--config.training.mesh.{axis}={size}" for axis, size in mesh.items()]
    (error,) = finish(run(command(config_file, tmp_path, "--config.training.steps=10", *axes), devices))
    assert f"on {devices} cpu device(s)" in error
    assert losses(tmp_path) == pytest.approx(reference, rel=1e-4)


def slurm(index: int, port: int) -> dict[str, str]:
    """What `srun --ntasks=2` sets for one of two tasks on this machine; jax derives the port from the job's number."""
    return {
        "SLURM_JOB_ID": str(port - (65536 - 2**12)), "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2", "SLURM_PROCID": str(index), "SLURM_LOCALID": str(index),
    }  # fmt: skip


def free_port(first: int, last: int) -> int:
    for port in range(first, last):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {first} to {last} is free")


def test_two_slurm_tasks_learn_what_one_process_learns_and_their_checkpoint_continues_on_one(
    config_file, tmp_path, reference
):
    port = free_port(65536 - 2**12, 65536)
    six = command(config_file, tmp_path, "--config.training.steps=6")
    finish(*[run(six, **slurm(index, port)) for index in range(2)])
    assert losses(tmp_path) == pytest.approx(reference[:6], rel=1e-4)
    (error,) = finish(run(command(config_file, tmp_path, "--config.training.steps=10")))
    assert "continuing at step 6" in error
    assert losses(tmp_path) == pytest.approx(reference, rel=1e-4)


def test_sigterm_saves_and_exits_as_told_and_the_same_command_continues(config_file, tmp_path):
    long = command(config_file, tmp_path, "--config.training.steps=100000", "--config.training.checkpoint_every=100000")
    long += ["--stopped-exit-code=42"]
    run = subprocess.Popen(long, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not ((tmp_path / "metrics.jsonl").exists() and losses(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    _, error = run.communicate(timeout=300)
    assert run.returncode == 42, error
    assert "stopped by SIGTERM at step" in error
    stopped = len(losses(tmp_path))
    again = command(config_file, tmp_path, f"--config.training.steps={stopped + 2}", "--stopped-exit-code=42")
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"continuing at step {stopped}" in done.stderr
    assert len(losses(tmp_path)) == stopped + 2

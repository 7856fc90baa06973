"""The command `pixjax train` on other devices and in several processes."""

import contextlib
import json
import socket

import numpy as np
import pytest
from forked import Forked


@pytest.fixture(scope="module")
def config_file(tmp_path_factory, tiny_config):
    """A tiny config as a file, for the command line; every kind of layer that there is, for a mesh to split."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    text_head = {"codebook_head": True, "codebook_input": True, "cell_layers": 1, "cell_width": 16}
    model = {"tagging": "both", "modality_mlp": True, **text_head}
    training = {"checkpoint_every": 5}  # so that each run saves on its way too; on eight devices a save takes a second
    values = tiny_config(model=model, diffusion={"time": {"text": "adaptive:-6:10"}}, training=training).to_dict()
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    return path


@pytest.fixture(scope="module")
def start(config_file, fork_server, tmp_path_factory):
    """`start(workdir, "training.steps=9", devices=2, SLURM_JOB_ID="1")` is a running `pixjax train`."""

    def begin(workdir, *settings: str, devices: int = 1, **launcher: str) -> Forked:
        command = ["train", f"--config={config_file}", f"--workdir={workdir}", *(f"--config.{s}" for s in settings)]
        log = tmp_path_factory.mktemp("log") / "stderr"
        process = fork_server.start(command, log, devices=devices, **launcher)
        process.log = log
        return process

    return begin


def finish(*processes: Forked) -> list[str]:
    codes = [process.wait() for process in processes]
    said = [process.log.read_text() for process in processes]
    assert codes == [0] * len(processes), said
    return said


def learned(workdir) -> list[tuple[float, float]]:
    """The loss and the norm of the gradient, step by step."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(line["loss"], line["gradient_norm"]) for line in lines]


@pytest.fixture(scope="module")
def expected(tmp_path_factory, start):
    """What twenty steps on one device learn."""
    workdir = tmp_path_factory.mktemp("reference")
    finish(start(workdir, "training.steps=20"))
    return learned(workdir)


@pytest.fixture(scope="module")
def require_the_same(start, expected):
    """Trains a workdir to a step on a mesh, from where it is, and compares all that it has learned since its start."""

    def train(workdir, steps: int, devices: int, mesh: dict[str, int]) -> str:
        axes = [f"training.mesh.{axis}={size}" for axis, size in mesh.items()]
        (said,) = finish(start(workdir, f"training.steps={steps}", *axes, devices=devices))
        assert f"on {devices} cpu device(s)" in said
        np.testing.assert_allclose(learned(workdir), expected[:steps], rtol=1e-4)
        return said

    return train


@pytest.mark.parametrize(("devices", "mesh"), [(2, {"tensor": 2}), (8, {"data": 2, "fsdp": 2, "tensor": 2})])
def test_a_mesh_learns_what_one_device_learns(tmp_path, require_the_same, devices, mesh):
    require_the_same(tmp_path, 10, devices, mesh)


def test_a_checkpoint_of_eight_devices_continues_on_one_and_on_two_by_two(tmp_path, require_the_same):
    require_the_same(tmp_path, 10, 8, {"fsdp": 8})
    assert "continuing at step 10" in require_the_same(tmp_path, 13, 1, {})
    assert "continuing at step 13" in require_the_same(tmp_path, 20, 4, {"data": 2, "fsdp": 2})


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
    tmp_path, start, expected, require_the_same
):
    port = free_port(65536 - 2**12, 65536)
    finish(*[start(tmp_path, "training.steps=6", **slurm(index, port)) for index in range(2)])
    np.testing.assert_allclose(learned(tmp_path), expected[:6], rtol=1e-4)
    assert "continuing at step 6" in require_the_same(tmp_path, 10, 1, {})

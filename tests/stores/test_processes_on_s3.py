"""Two processes that each hold half of the arrays write one checkpoint on S3, and two devices continue from it."""

import os
import socket

import numpy as np
import pytest

from pixjax.checkpoints.checkpoint import Checkpoints
from pixjax.checkpoints.s3_arrays import _CHUNK_BYTES, _chunk_shape
from pixjax.paths import user_path


def test_each_process_writes_its_shards(s3, fork_server, tiny_config, tmp_path):
    workdir, config = "s3://bucket/processes", tmp_path / "tiny.py"
    values = tiny_config(training={"checkpoint_every": 1}).to_dict()
    config.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({values!r})\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    credentials = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    def start(name, steps, *arguments, devices=1):
        settings = (f"--config.training.steps={steps}", "--config.training.mesh.fsdp=2")
        command = ["train", f"--config={config}", f"--workdir={workdir}", *settings, *arguments]
        return name, fork_server.start(command, tmp_path / name, devices=devices, **credentials)

    def finish(*started):
        codes = {name: run.wait() for name, run in started}
        assert set(codes.values()) == {0}, [(tmp_path / name).read_text() for name in codes]

    together = (f"--coordinator={coordinator}", "--num-processes=2")
    finish(*(start(f"{i}", 1, *together, f"--process-id={i}") for i in range(2)))
    with Checkpoints(user_path(workdir)) as checkpoints:
        assert checkpoints.verify(1) == []
    stored = user_path(f"{workdir}/checkpoints/1/params")
    assert any(name.endswith(("/c/1/0", "/c/0/1")) for name in stored.files_below())  # two shards
    finish(start("one", 2, devices=2))
    with Checkpoints(user_path(workdir)) as checkpoints:
        assert checkpoints.verify(2) == []


@pytest.mark.parametrize(
    ("shape", "itemsize"), [((), 4), ((0, 3), 4), ((7,), 4), ((2**20, 2**10), 4), ((3, 2**28), 2), ((1, 1, 2**30), 1)]
)
def test_a_chunk_is_small_and_parts_its_shard_evenly(shape, itemsize):
    chunks = _chunk_shape(shape, itemsize)
    assert all(size % chunk == 0 for size, chunk in zip(shape, chunks, strict=True))
    assert np.prod(chunks) * itemsize <= _CHUNK_BYTES
    smaller_than_half = 2 * np.prod(chunks) * itemsize <= _CHUNK_BYTES
    assert not smaller_than_half or chunks == [max(size, 1) for size in shape]  # and no smaller than it has to be

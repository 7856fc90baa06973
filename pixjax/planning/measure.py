"""Short measurements of this machine: matrix products and memory of its first device, loader, disk."""

import functools
import time
import uuid
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from pixjax.checkpoints.run_files import workdir_path
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches

_STEADY_SECONDS = 0.01  # of one matrix product: much longer than what starting it costs
_LARGEST_SIDE = 16384  # of the matrices
_ARRAY_BYTES = {"cpu": 2**27}  # more than its caches hold
_ACCELERATOR_ARRAY_BYTES = 2**31
_REPEATS, _CALLS = 3, 4  # the best of so many times so many calls in a row: whatever disturbs makes it slower
_SAMPLE_LEAVES = 8
_LOADER_SECONDS = 1.5


def _best_seconds(run: Callable[[], jax.Array]) -> float:
    """Of one call, after the one that compiles."""
    run().block_until_ready()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        for _ in range(_CALLS):
            last = run()
        last.block_until_ready()
        seconds.append((time.perf_counter() - began) / _CALLS)
    return min(seconds)


def matmul_flops(dtype: str) -> float:
    """FLOP/s of products of square matrices on the first device, as large as a steady figure needs."""
    side = 512
    while True:
        x = jax.random.normal(jax.random.key(0), (side, side), dtype)
        seconds = _best_seconds(functools.partial(_square, x))
        if seconds > _STEADY_SECONDS or side == _LARGEST_SIDE:
            return 2 * side**3 / seconds
        side *= 2


@jax.jit
def _square(x: jax.Array) -> jax.Array:
    return x @ x


@functools.partial(jax.jit, donate_argnums=0)
def _add_one(x: jax.Array) -> jax.Array:
    return x + 1


def memory_bandwidth() -> float:
    """Bytes/s of the first device, which reads an array and writes it back."""
    size = _ARRAY_BYTES.get(jax.default_backend(), _ACCELERATOR_ARRAY_BYTES)
    x = jnp.zeros(size // 4, jnp.float32)

    def run() -> jax.Array:
        nonlocal x
        x = _add_one(x)
        return x

    return 2 * size / _best_seconds(run)


def checkpoint_speed(folder: epath.Path, size: int) -> float:
    """Bytes/s of an orbax save of so many bytes of random parameters by this process; nothing of it is left.

    Raises whatever orbax and the file system raise.
    """
    folder = workdir_path(folder)
    made = [p for p in (folder, *folder.parents) if not p.exists()]  # of folders, the deepest first
    sample = folder / f".doctor-{uuid.uuid4().hex[:8]}"
    random = np.random.default_rng(0)
    leaf = max(size // 4 // _SAMPLE_LEAVES, 1)
    tree = {str(i): jnp.asarray(random.standard_normal(leaf, np.float32)) for i in range(_SAMPLE_LEAVES)}
    this = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=sample.name
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            checkpointer.save(sample, tree)
            checkpointer.wait_until_finished()
        return _SAMPLE_LEAVES * leaf * 4 / (time.perf_counter() - began)
    finally:
        for left in folder.glob(f"{sample.name}*"):  # a save that failed leaves its temporary folder
            left.rmtree()
        for path in made:
            if path.exists():
                path.rmdir()


def loader_rate(config: Config, codec: CanvasCodec) -> float:
    """Canvases/s that this process makes of its share of the batches, when nothing else keeps it busy."""
    with make_batches(config, codec, shard_index=jax.process_index(), shard_count=jax.process_count()) as batches:
        for _ in range(1 + 2 * max(config.data.workers, 1)):  # start the workers, and use up what is made ahead
            next(batches)
        began, canvases = time.perf_counter(), 0
        while (passed := time.perf_counter() - began) < _LOADER_SECONDS:
            canvases += len(next(batches)["modality"])
        return canvases / passed

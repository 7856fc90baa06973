"""Checks and measurements of this machine: software, accelerators, matrix products, memory, loader, disk."""

import functools
import importlib.metadata
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from packaging.requirements import Requirement

from pixjax.checkpoints.provenance import versions
from pixjax.checkpoints.run_files import workdir_path
from pixjax.chips import GIB, Chip, chip_of
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.planning.finding import Finding
from pixjax.runtime import require_devices, tpu_chips, use_compilation_cache

_STEADY_SECONDS = 0.01  # of one matrix product: much longer than what starting it costs
_LARGEST_SIDE = 16384  # of the matrices
_ARRAY_BYTES = {"cpu": 2**27}  # more than its caches hold
_ACCELERATOR_ARRAY_BYTES = 2**31
_REPEATS, _CALLS = 3, 4  # the best of so many times so many calls in a row: whatever disturbs makes it slower
_SAMPLE_LEAVES = 8
_LOADER_SECONDS = 1.5


def _best_seconds(run: Callable[[], jax.Array]) -> float:
    """The seconds of one call, after the one that compiles."""
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


# Shares of the data sheet below which something is amiss.
_USUAL_MATMUL = 0.5
_USUAL_BANDWIDTH = 0.6


def check_software() -> Finding:
    found = {name: version for name, version in versions().items() if name != "source_sha256" and version}
    outside = []
    for requirement in map(Requirement, _declared_requirements()):
        installed = found.get(requirement.name)
        if installed and not requirement.specifier.contains(installed, prereleases=True):
            outside.append(f"'{requirement}'")
    return Finding(
        status="warning" if outside else "ok",
        found=", ".join(f"{name} {version[:12]}" for name, version in found.items()),
        remedy=f"pip install {' '.join(outside)}" if outside else "",
        values=found,
    )


def _declared_requirements() -> list[str]:
    try:
        return importlib.metadata.requires("pixjax") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source, not installed
        return []


def check_accelerator() -> Finding:
    """Is there one that jax does not use, or none of those that it was told to use?"""
    require_devices()
    backend, gpus, tpus = jax.default_backend(), _nvidia_gpus(), len(tpu_chips())
    found = [f"jax computes on {backend.upper()}"]
    if gpus:
        found.append(f"{len(gpus)} x {gpus[0][0]}, driver {gpus[0][1]}")
    if tpus:
        found.append(f"{tpus} TPU chip(s), libtpu {_version('libtpu') or 'not installed'}")
    remedy = ""
    if backend == "cpu" and (gpus or tpus):
        if platforms := os.environ.get("JAX_PLATFORMS"):
            remedy = f"JAX_PLATFORMS={platforms} keeps jax from it: unset that"
        else:
            extra = "tpu" if tpus else "cuda13"
            remedy = f"pip install 'pixjax[{extra}]'" + ("" if tpus else ", or 'pixjax[cuda12]' with an older driver")
    values = {"backend": backend, "gpus": len(gpus), "tpus": tpus, "driver": gpus[0][1] if gpus else ""}
    return Finding(status="warning" if remedy else "ok", found="; ".join(found), remedy=remedy, values=values)


def check_cache() -> Finding:
    """Are compiled programs kept for the next start?"""
    if problem := use_compilation_cache():
        found, _, remedy = problem.rpartition(": ")
        return Finding(status="warning", found=found, remedy=remedy)
    return Finding(found=str(jax.config.values["jax_compilation_cache_dir"]))


def _nvidia_gpus() -> list[tuple[str, str]]:
    """(name, driver version) of each."""
    if not (command := shutil.which("nvidia-smi")):
        return []
    query = [command, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in out.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_devices() -> Finding:
    kind, count, here = jax.devices()[0].device_kind, jax.device_count(), jax.local_device_count()
    memory = device_memory()
    found = f"{count} x {kind}, {memory / GIB:.1f} GiB each"
    if jax.process_count() > 1:
        found += f", {here} in this process of {jax.process_count()}"
    if jax.default_backend() == "cpu":
        found += f", {os.cpu_count()} cores"
    values = {"kind": kind, "count": count, "local_count": here, "processes": jax.process_count(), "memory": memory}
    return Finding(found=found, values=values)


def device_memory() -> float:
    """Bytes that jax may take of the first device."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return memory_of_this_machine() / jax.local_device_count()


def memory_of_this_machine() -> int:
    """Bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_matmul(dtype: str) -> Finding:
    flops = matmul_flops(dtype)
    chip = _chip()
    if chip is None or dtype != "bfloat16":
        return Finding(found=f"{flops / 1e12:.3g} TFLOP/s", values={"flops": flops})
    share = flops / chip.flops
    return Finding(
        status="ok" if share >= _USUAL_MATMUL else "warning",
        found=f"{flops / 1e12:.0f} TFLOP/s, {share:.0%} of the {chip.flops / 1e12:.0f} that {chip.name} promises",
        remedy="" if share >= _USUAL_MATMUL else "see that nothing else runs on it, its clock and its power limit",
        values={"flops": flops, "share_of_peak": share},
    )


def check_bandwidth() -> Finding:
    bandwidth = memory_bandwidth()
    chip = _chip()
    if chip is None:
        return Finding(found=f"{bandwidth / 1e9:.3g} GB/s", values={"bytes_per_second": bandwidth})
    share = bandwidth / chip.bandwidth
    return Finding(
        status="ok" if share >= _USUAL_BANDWIDTH else "warning",
        found=f"{bandwidth / 1e9:.0f} GB/s, {share:.0%} of the {chip.bandwidth / 1e9:.0f} that {chip.name} promises",
        remedy="" if share >= _USUAL_BANDWIDTH else "see that nothing else runs on it",
        values={"bytes_per_second": bandwidth, "share_of_peak": share},
    )


def _chip() -> Chip | None:
    return chip_of(jax.local_devices()[0].device_kind)

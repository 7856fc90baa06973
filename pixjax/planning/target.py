"""Devices that need not be there, to compile for.

For TPUs the compiler is TPUs' own where libtpu is installed, which needs no TPU; else, and for GPUs, it is XLA's for
CPUs with as many CPU devices. Both are reached in a process of its own, since how many devices a process has is fixed
once it has used one, and no accelerator of this machine is touched.
"""

import dataclasses
import importlib.util
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pixjax.chips import Chip
from pixjax.errors import RunError

Result = TypeVar("Result")

# The topologies of a slice by its chips, as libtpu names them.
_TORUS_3D = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8"}
_TORUS_2D = {4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_TOPOLOGIES = {"v4": _TORUS_3D, "v5p": _TORUS_3D, "v5e": _TORUS_2D, "v6e": _TORUS_2D}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    devices: list[Any]  # jax.Device
    compiler: str  # in words
    is_its_own: bool  # the compiler that training on the chip uses
    options: dict[str, Any]  # of `Lowered.compile`


def find_target(chip: Chip | None, count: int, *, libtpu: bool = True) -> Target:
    """So many devices. Where only CPUs can be had there have to be so many of them already.

    `libtpu=False` compiles for CPUs also where libtpu is installed: several times as fast.
    """
    import jax

    if chip is not None and chip.is_tpu and not libtpu:
        compiler = "XLA for CPUs (--compiler=cpu)"
    elif chip is not None and chip.is_tpu and importlib.util.find_spec("libtpu"):
        try:
            return _tpu_target(chip, count)
        except Exception as error:  # another process holds the TPUs, libtpu does not fit jax, ...
            reason = " ".join(str(error).split())[:200]
            compiler = f"XLA for CPUs (libtpu does not serve: {reason})"
    elif chip is not None and chip.is_tpu:
        compiler = "XLA for CPUs (pip install 'pixjax[tpu]' for that of TPUs, which works without one)"
    else:
        compiler = "XLA for CPUs"
    # What the optimizations of a backend change is the machine code, not the buffers: they are left out.
    return Target(
        devices=jax.devices("cpu")[:count],
        compiler=compiler,
        is_its_own=chip is None,
        options={"xla_backend_optimization_level": 0},
    )


def _tpu_target(chip: Chip, count: int) -> Target:
    from jax.experimental.topologies import get_topology_desc

    topologies = _TOPOLOGIES[chip.name]
    shape = topologies[min(size for size in topologies if size >= count)]
    megacore = {"chip_config_name": "megacore"} if chip.name == "v4" else {}  # one device a chip, as in training
    topology = get_topology_desc(platform="tpu", topology_name=f"{chip.name}:{shape}", **megacore)
    return Target(
        devices=list(topology.devices)[:count],
        compiler=f"XLA for TPUs (libtpu, {chip.name})",
        is_its_own=True,
        options={},
    )


def run_on_fake_cpus(count: int, function: Callable[..., Result], *arguments: Any) -> Result:
    """`function(*arguments)` in a process that has so many CPU devices and sees no other."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_become, initargs=(count,)) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise RunError("the process that compiles was killed, perhaps out of memory: close others") from None


def _become(count: int) -> None:
    """Before anything is computed in this process."""
    os.environ |= {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TPU_MIN_LOG_LEVEL": "3",
        "TPU_STDERR_LOG_LEVEL": "3",
        "TPU_WORKER_HOSTNAMES": "localhost",  # libtpu asks for these, and goes by the topology that it is given
        "TPU_ACCELERATOR_TYPE": "v5p-8",
        "TPU_SKIP_MDS_QUERY": "1",  # there is no TPU to ask about
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # where there is, a run may hold it
    }
    import jax

    from pixjax.runtime import set_up

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)
    set_up()

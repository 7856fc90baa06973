"""Settings that every command makes before it computes: compilation cache, other processes of the run, devices."""

import argparse
import ctypes
import importlib.util
import os
import pathlib
import sys
from collections.abc import Mapping

import jax

from pixjax import peers
from pixjax.errors import InputError, RunError
from pixjax.paths import cache_folder, why_not_writable
from pixjax.rendezvous import meet

_CONNECT_SECONDS = 300
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h of glibc


def set_up(args: argparse.Namespace | None = None) -> None:
    """Call before anything is computed.

    Raises:
      InputError: a part of `--coordinator --num-processes --process-id` is missing, or there is no such device as
        JAX_PLATFORMS names.
      RunError: the other processes were not found, or not in time.
    """
    connect(args)
    require_devices()
    if problem := use_compilation_cache():
        print(f"note: {problem}", file=sys.stderr)


def connect(args: argparse.Namespace | None = None) -> None:
    """`set_up` before any device is looked for."""
    keep_memory()
    coordinator = getattr(args, "coordinator", "")
    if coordinator:
        assert args is not None
        _connect(coordinator, args.num_processes, args.process_id, args.connect_seconds)
    elif any(getattr(args, name, None) is not None for name in ("num_processes", "process_id")):
        raise InputError("--num-processes and --process-id need --coordinator=HOST:PORT, the address of process 0")
    elif args is not None and (launcher := launcher_of(os.environ)):
        _connect_as_jax_finds(launcher)
    if args is not None and (problem := peers.start()):
        print(f"note: {problem}", file=sys.stderr)


def require_devices() -> None:
    """Raises `InputError` where there is no such device as JAX_PLATFORMS names."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # a bare AssertionError for a GPU without its plugin
        wanted = os.environ.get("JAX_PLATFORMS", "")
        reason = " ".join(str(error).partition(" (set JAX_PLATFORMS=")[0].split())[:200].rstrip(". ")
        reason = reason or "no such device, or no plugin for it"
        if wanted:
            lower = wanted.lower()
            instead = f"write JAX_PLATFORMS={lower}, or unset it" if lower != wanted else "unset it, or set it to cpu"
            raise InputError(f"JAX_PLATFORMS={wanted} cannot be had here ({reason}): {instead}") from error
        raise InputError(f"no device can be had ({reason}): see pixjax doctor, or set JAX_PLATFORMS=cpu") from error


def use_compilation_cache() -> str:
    """Keeps compiled programs in jax's folder, where one is set, or in pixjax's; why not, empty where they are kept."""
    chosen = jax.config.values["jax_compilation_cache_dir"]
    if chosen and "://" in str(chosen):
        return ""
    cache = cache_folder()
    folder = pathlib.Path(chosen) if chosen else cache / "xla" if cache else None
    if folder is None:
        problem = "there is no home folder"
    elif not (why := why_not_writable(folder)):
        if not chosen:
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        return ""
    else:
        problem = f"{folder} cannot be written ({why})"
    jax.config.update("jax_compilation_cache_dir", None)  # or jax would warn of each program
    return f"{problem}, so every start compiles anew: set JAX_COMPILATION_CACHE_DIR to a folder"


def keep_memory() -> None:
    """Has malloc keep what is freed; does nothing where malloc is not glibc's.

    XLA on a CPU allocates its intermediate results anew for every step. glibc would map and unmap gigabytes each
    time, and the page faults cost a fifth of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)  # other arenas map whatever is large, whatever the limits below
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def launcher_of(environment: Mapping[str, str], devices: pathlib.Path = pathlib.Path("/dev")) -> str:
    """What started this process as one of several; empty for a process of its own.

    jax finds the same launchers by itself, but raises where there is none, and a process of its own needs none. On a
    Cloud TPU the environment says nothing: jax asks the metadata server, for one host as for many.
    """

    def count(name: str) -> int:
        return int(environment.get(name) or 1)

    if count("OMPI_COMM_WORLD_SIZE") > 1:
        return "Open MPI"
    if count("SLURM_STEP_NUM_TASKS") > 1:
        return "SLURM"
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    if "," in hosts or count("MEGASCALE_NUM_SLICES") > 1:
        return "a TPU slice on Kubernetes"
    wanted = "tpu" in (environment.get("JAX_PLATFORMS") or "tpu")
    if tpu_chips(devices) and wanted and not environment.get("TPU_SKIP_MDS_QUERY") and not hosts and _has_libtpu():
        return "a Cloud TPU"
    return ""


def tpu_chips(devices: pathlib.Path = pathlib.Path("/dev")) -> list[pathlib.Path]:
    """The TPU chips of this host, which are there whether jax can use them or not."""
    return [*devices.glob("accel[0-9]*"), *devices.glob("vfio/[0-9]*")]


def _has_libtpu() -> bool:
    return importlib.util.find_spec("libtpu") is not None


def _connect(coordinator: str, num_processes: int | None, process_id: int | None, seconds: float) -> None:
    if num_processes is None or process_id is None or not 0 <= process_id < num_processes:
        raise InputError(
            f"--coordinator={coordinator} needs --num-processes=N and --process-id from 0 to N-1: "
            f"got {num_processes} and {process_id}"
        )
    if not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"--coordinator={coordinator} has no port: write HOST:PORT of process 0")
    meet(coordinator, num_processes, process_id, seconds)
    jax.distributed.initialize(
        coordinator,
        num_processes,
        process_id,
        cluster_detection_method="deactivate",  # under SLURM jax would take one GPU of those that this process sees
        initialization_timeout=_CONNECT_SECONDS,
    )


def _connect_as_jax_finds(launcher: str) -> None:
    try:
        jax.distributed.initialize(initialization_timeout=_CONNECT_SECONDS)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise RunError(
            f"this process is one of several of {launcher}, but jax could not connect them ({reason}): start all of "
            "them, or say who they are with --coordinator=HOST:PORT --num-processes=N --process-id=I"
        ) from error

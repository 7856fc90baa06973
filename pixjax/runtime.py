"""What every command that computes sets first: the compilation cache, and the other processes of the run."""

import argparse
import ctypes
import os
import pathlib

import jax

from pixjax.errors import InputError
from pixjax.rendezvous import meet

_CONNECT_SECONDS = 300
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # malloc.h of glibc


def set_up(args: argparse.Namespace | None = None) -> None:
    """Call before anything is computed.

    Raises:
      InputError: a part of `--coordinator --num-processes --process-id` is missing.
      RunError: the other processes were not found in time.
    """
    keep_memory()
    if not jax.config.values["jax_compilation_cache_dir"]:
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "pixjax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    coordinator = getattr(args, "coordinator", "")
    if coordinator:
        assert args is not None
        _connect(coordinator, args.num_processes, args.process_id, args.connect_seconds)
    elif getattr(args, "num_processes", 0) or getattr(args, "process_id", -1) >= 0:
        raise InputError("--num-processes and --process-id need --coordinator=HOST:PORT, the address of process 0")
    elif args is not None and _in_a_cluster():
        jax.distributed.initialize(initialization_timeout=_CONNECT_SECONDS)


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


def _connect(coordinator: str, num_processes: int, process_id: int, seconds: float) -> None:
    if not 0 <= process_id < num_processes:
        raise InputError(
            f"--coordinator={coordinator} needs --num-processes=N and --process-id from 0 to N-1: "
            f"got {num_processes} and {process_id}"
        )
    if not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"--coordinator={coordinator} has no port: write HOST:PORT of process 0")
    meet(coordinator, num_processes, process_id, seconds)
    jax.distributed.initialize(coordinator, num_processes, process_id, initialization_timeout=_CONNECT_SECONDS)


def _in_a_cluster() -> bool:
    """Whether the environment describes several processes, as TPU pods, SLURM, Open MPI and Kubernetes job sets do."""
    environment = os.environ
    return (
        "," in environment.get("TPU_WORKER_HOSTNAMES", "")
        or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1
        or int(environment.get("OMPI_COMM_WORLD_SIZE", "1")) > 1
        or any(environment.get(name) for name in ("JAX_COORDINATOR_ADDRESS", "MEGASCALE_COORDINATOR_ADDRESS"))
    )

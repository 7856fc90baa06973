"""What a process sets before it computes."""

import argparse
import os
import pathlib
import platform
import subprocess
import sys

import jax
import pytest
from jax._src.clusters import ClusterEnv, cloud_tpu_cluster

from pixjax import runtime
from pixjax.errors import InputError, RunError
from pixjax.planning.machine import check_cache
from pixjax.runtime import launcher_of

ALLOCATE_TWICE = """
import ctypes, resource, threading
from pixjax.runtime import keep_memory

keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.memset.restype = ctypes.c_void_p

def allocate():
    block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(100_000_000)))
    libc.memset(block, 1, ctypes.c_size_t(100_000_000))
    libc.free(block)

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(page_faults(), page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_memory_that_was_freed_is_kept_for_the_next_step():
    out = subprocess.run([sys.executable, "-c", ALLOCATE_TWICE], capture_output=True, text=True, check=True).stdout
    first, second = map(int, out.split())
    assert first > 5_000 > 500 > second


# What the launchers set: for process 5 of 16 on two nodes, and for process 1 of a slice of two hosts.
SRUN = {
    "SLURM_JOB_ID": "4242", "SLURM_STEP_NODELIST": "node[07-08]", "SLURM_STEP_NUM_TASKS": "16", "SLURM_NTASKS": "16",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "5",
}  # fmt: skip
MPIRUN = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911", "OMPI_COMM_WORLD_SIZE": "16",
    "OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "5",
}  # fmt: skip
SLICE = {"TPU_WORKER_HOSTNAMES": "localhost,run-slice-0-1.run", "TPU_WORKER_ID": "1"}
SECOND_OF_TWO_SLICES = SLICE | {
    "MEGASCALE_COORDINATOR_ADDRESS": "localhost:8080", "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "launcher", "processes", "index", "coordinator"),
    [
        (SRUN, "SLURM", 16, 5, "node07:61586"),
        (MPIRUN, "Open MPI", 16, 5, "10.96.0.1:62624"),
        (SLICE, "a TPU slice on Kubernetes", 2, 1, "localhost:8482"),
        (SECOND_OF_TWO_SLICES, "a TPU slice on Kubernetes", 4, 3, "localhost:8482"),
    ],
)
def test_a_launcher_is_seen_where_jax_finds_several_processes(
    environment, launcher, processes, index, coordinator, monkeypatch
):
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(cloud_tpu_cluster, "get_metadata", lambda _: ("", 200))  # no metadata server is asked
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launcher_of(environment) == launcher
    found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 5)
    assert found[:3] == (coordinator, processes, index)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"},  # inside salloc, before srun
        SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"},
        {"JAX_COORDINATOR_ADDRESS": "run-slice-job-0-0.run", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},  # GPUs under xpk
    ],
)
def test_a_process_of_its_own_waits_for_nobody(environment, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "_has_libtpu", lambda: True)
    assert launcher_of(environment, tmp_path) == ""


@pytest.mark.parametrize("chip", ["accel0", "vfio/0"])
def test_chips_of_a_cloud_tpu_are_enough_unless_they_are_not_meant(chip, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "_has_libtpu", lambda: True)
    (tmp_path / "vfio").mkdir()
    (tmp_path / "vfio" / "vfio").touch()  # is there without chips too
    assert launcher_of({}, tmp_path) == ""
    (tmp_path / chip).touch()
    assert launcher_of({}, tmp_path) == "a Cloud TPU"
    assert launcher_of({"JAX_PLATFORMS": "cpu"}, tmp_path) == ""
    assert launcher_of({"TPU_SKIP_MDS_QUERY": "1"}, tmp_path) == ""
    monkeypatch.setattr(runtime, "_has_libtpu", lambda: False)  # somebody else's devices
    assert launcher_of({}, tmp_path) == ""


def test_processes_that_jax_cannot_connect_are_told_how_to_connect(monkeypatch):
    """Open MPI 5 says how many there are, but not where the first one is."""

    def initialize(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(RunError, match=r"of Open MPI.*\(coordinator_address should be defined\).*--coordinator="):
        runtime.set_up(argparse.Namespace(coordinator="", num_processes=None, process_id=None))


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("cuda", AssertionError(), r"JAX_PLATFORMS=cuda cannot be had here \(no such .*\): unset it, or set it to cpu"),
        ("CPU", RuntimeError("Unable to initialize backend 'CPU'"), r"=CPU .*'CPU'\): write JAX_PLATFORMS=cpu"),
        (
            "tpu",
            RuntimeError("libtpu.so: no such file. (set JAX_PLATFORMS='' to ...)"),
            r"\(libtpu.so: no such file\): u",
        ),
        ("", RuntimeError("CUDA_ERROR_NO_DEVICE"), r"no device can be had \(CUDA_ERROR_NO_DEVICE\): see pixjax doctor"),
    ],
)
def test_a_device_that_cannot_be_had_is_wrong_input(wanted, error, message, monkeypatch):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", wanted)
    with pytest.raises(InputError, match=message):
        runtime.require_devices()


def test_jax_itself_does_not_know_a_platform_in_capitals():
    environment = os.environ | {"JAX_PLATFORMS": "CPU"}
    command = [sys.executable, "-m", "pixjax", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    software, accelerator = done.stdout.splitlines()  # all other checks compute
    assert software.startswith("ok       software: ")
    assert accelerator.startswith("failure  accelerator: JAX_PLATFORMS=CPU cannot be had here")
    assert accelerator.endswith("-> write JAX_PLATFORMS=cpu, or unset it")


@pytest.fixture
def no_cache_chosen(monkeypatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_user_without_a_home_has_no_cache_and_is_told(no_cache_chosen, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", no_home)
    told = runtime.use_compilation_cache()
    assert told.startswith("there is no home folder, so every start compiles anew: ")
    assert jax.config.values["jax_compilation_cache_dir"] is None


@pytest.mark.parametrize("chosen", [True, False])
def test_a_cache_that_cannot_be_written_is_left_out_and_that_is_told_once(
    chosen, no_cache_chosen, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    if chosen:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path / "file" / "mine"))
    told = runtime.use_compilation_cache()
    assert f"{tmp_path / 'file' / ('mine' if chosen else 'pixjax/xla')} cannot be written (Not a directory)" in told
    assert jax.config.values["jax_compilation_cache_dir"] is None
    finding = check_cache()
    assert finding.status == "warning"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert check_cache().found == str(tmp_path / "pixjax" / "xla")

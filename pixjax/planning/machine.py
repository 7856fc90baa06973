"""What this machine is and how fast it is: software, accelerators, matrix products, memory."""

import importlib.metadata
import os
import shutil
import subprocess

import jax
from packaging.requirements import Requirement

from pixjax.checkpoints.provenance import versions
from pixjax.chips import GIB, Chip, chip_of
from pixjax.planning.finding import Finding
from pixjax.planning.measure import matmul_flops, memory_bandwidth
from pixjax.runtime import require_devices, tpu_chips, use_compilation_cache

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

"""Accelerators: what the data sheets promise of each, and the names that a number of them goes by.

TPU figures are those of the Cloud TPU system architecture pages (https://cloud.google.com/tpu/docs, "v4", "v5e", "v5p",
"v6e"), per chip, of the links to other chips one way, all of them together; the memory is what its compiler reports as
available to a program, which is a little less than what is built in. GPU figures are those of NVIDIA's data sheets,
dense (without sparsity), SXM where there are several forms.
"""

import dataclasses
import re

from pixjax.errors import InputError

GIB = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    name: str
    kinds: tuple[str, ...]  # any of them is part of its `jax.Device.device_kind`
    flops: float  # peak FLOP/s of matrix products in bfloat16
    bandwidth: float  # of its memory, bytes/s
    memory: float  # bytes
    usable: float = 1.0  # the share of the memory that JAX takes
    links: float = 0.0  # bytes/s to the other chips of its slice; 0: not in the table
    cores_in_name: int = 1  # a slice of the TPU generations with two TensorCores a chip is named by its TensorCores

    @property
    def is_tpu(self) -> bool:
        return self.kinds[0].startswith("TPU")


def _tpu(
    name: str, *kinds: str, tflops: float, gigabytes_per_second: float, gib: float, links: float, cores: int = 1
) -> Chip:
    """`links` in gigabytes a second."""
    return Chip(
        name=name,
        kinds=kinds,
        flops=tflops * 1e12,
        bandwidth=gigabytes_per_second * 1e9,
        memory=gib * GIB,
        links=links * 1e9,
        cores_in_name=cores,
    )


def _gpu(name: str, kind: str, *, tflops: float, gigabytes_per_second: float, gib: float) -> Chip:
    """JAX takes three quarters of a GPU's memory unless XLA_CLIENT_MEM_FRACTION says otherwise."""
    return Chip(
        name=name,
        kinds=(kind,),
        flops=tflops * 1e12,
        bandwidth=gigabytes_per_second * 1e9,
        memory=gib * GIB,
        usable=0.75,
    )


# The first match of a device's kind counts.
CHIPS = (
    _tpu("v4", "TPU v4", tflops=275, gigabytes_per_second=1200, gib=30.75, links=300, cores=2),
    _tpu("v5e", "TPU v5 lite", "TPU v5e", tflops=197, gigabytes_per_second=819, gib=15.75, links=200),
    _tpu("v5p", "TPU v5p", "TPU v5", tflops=459, gigabytes_per_second=2765, gib=95.74, links=600, cores=2),
    _tpu("v6e", "TPU v6", tflops=918, gigabytes_per_second=1638, gib=31.25, links=400),
    _gpu("b200", "B200", tflops=2250, gigabytes_per_second=8000, gib=180),
    _gpu("h200", "H200", tflops=989, gigabytes_per_second=4800, gib=141),
    _gpu("h100-pcie", "H100 PCIe", tflops=756, gigabytes_per_second=2000, gib=80),
    _gpu("h100", "H100", tflops=989, gigabytes_per_second=3350, gib=80),
    _gpu("a100-40g", "A100-SXM4-40GB", tflops=312, gigabytes_per_second=1555, gib=40),
    _gpu("a100", "A100", tflops=312, gigabytes_per_second=2039, gib=80),
    _gpu("l40s", "L40S", tflops=362, gigabytes_per_second=864, gib=48),
    _gpu("l4", "L4", tflops=121, gigabytes_per_second=300, gib=24),
    _gpu("rtx4090", "RTX 4090", tflops=165, gigabytes_per_second=1008, gib=24),
)


def chip_of(device_kind: str) -> Chip | None:
    """None for a device that the table does not know (a CPU, for instance)."""
    return next((chip for chip in CHIPS if any(re.search(rf"\b{kind}\b", device_kind) for kind in chip.kinds)), None)


def peak_flops(device_kind: str) -> float | None:
    """FLOP/s of one device in bfloat16, None for one that the table does not know."""
    chip = chip_of(device_kind)
    return chip.flops if chip else None


def parse_chips(text: str) -> tuple[Chip | None, int]:
    """A kind of chip and how many: `v5p-64`, `v5e-16`, `h100x8`; no chip is `cpu`, this machine's.

    TPUs are counted as Cloud TPU names its slices: in TensorCores, two a chip, for v4 and v5p, so that `v5p-64` is 32
    chips; in chips for v5e and v6e.

    Raises `InputError` for what is not known, with what is.
    """
    if text == "cpu":
        return None, 1
    for chip in CHIPS:
        pattern = rf"{chip.name}-(\d+)" if chip.is_tpu else rf"{chip.name}(?:x(\d+))?"
        if match := re.fullmatch(pattern, text.replace("v5litepod-", "v5e-")):  # as Cloud TPU names the v5e
            count = int(match[1] or 1)
            if count == 0 or count % chip.cores_in_name:
                raise InputError(
                    f"--chips={text} is no whole number of chips: {chip.name} is counted in "
                    f"{'TensorCores, two a chip' if chip.cores_in_name == 2 else 'chips'}, from {chip.cores_in_name}"
                )
            return chip, count // chip.cores_in_name
    names = ", ".join(chip.name for chip in CHIPS)
    raise InputError(
        f"--chips={text} is unknown: write cpu, a TPU slice as v5e-16, or GPUs as h100x8; the chips are {names}"
    )

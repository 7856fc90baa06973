"""An estimate of a run on given chips: parameters, FLOPs, memory, time, disk."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax

from pixjax.checkpoints.writer import most_checkpoints
from pixjax.chips import GIB, Chip, parse_chips
from pixjax.config import Config
from pixjax.errors import InputError
from pixjax.planning.footprint import Memory, measure_memory, smallest_mesh
from pixjax.planning.machine import matmul_flops, memory_of_this_machine
from pixjax.planning.messages import bytes_sent
from pixjax.planning.target import run_on_fake_cpus
from pixjax.training.computation import flops_per_canvas, update_flops
from pixjax.training.mesh import mesh_shape
from pixjax.training.optimizer import optimizer_flops
from pixjax.training.placement import canvases_per_device
from pixjax.training.state import init_params, make_model

DEFAULT_MFU = 0.4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """Memory is in bytes on one device, a rate is of all of them."""

    chips: str
    devices: int
    mesh: dict[str, int]
    parameters: int
    flops_per_canvas: float  # of training: forward, backward, and its share of the optimizer's
    flops_per_step: float
    batch_size: int
    canvases_per_device: int
    state_bytes: int  # parameters, moments, averages
    fixed_bytes: float  # gradients, and what else does not grow with the batch
    activation_bytes: float  # what grows with it
    batch_bytes: float
    total_bytes: float
    limit_bytes: float
    fits: bool
    bytes_per_canvas: float
    largest_canvases_per_device: int  # 0: not even the smallest batch fits
    largest_batch_size: int
    largest_total_bytes: int  # as compiled with that batch
    peak_flops: float  # FLOP/s
    mfu: float
    step_seconds: float
    canvases_per_second: float
    message_bytes: float | None  # that leave a device in a step; None: not counted
    message_seconds: float | None  # that they take at best
    canvases: int
    days: float
    checkpoint_bytes: int  # on disk, over all devices
    checkpoints_bytes: int  # of all that are kept, and one that is being written
    compiler: str
    compiled_mesh: dict[str, int]
    assumptions: tuple[str, ...]
    advice: tuple[str, ...]  # what would make it fit

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def estimate(
    config: Config,
    chips: str,
    *,
    mfu: float | None = None,
    canvases: int | None = None,
    memory_gib: float | None = None,
    libtpu: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Estimate:
    """Compiles the training step for the chips in a process of its own; this one uses no device.

    Args:
      chips: as `pixjax.chips.parse_chips` reads it.
      mfu: model FLOPs utilisation, the share of the chips' peak that training reaches; an assumption where not given.
      canvases: to train on; those of the config's steps unless given.
      memory_gib: that a step may take on one device; the table's unless given.
      libtpu: compile for TPUs by their own compiler where it is installed.
      tell: hears what takes long.

    Raises:
      InputError: unknown chips, a number out of range, or a config that does not divide over the chips.
    """
    chip, count = parse_chips(chips)
    if mfu is not None and not 0 < mfu <= 1:
        raise InputError(f"--mfu={mfu:g} has to be above 0 and at most 1: it is a share of the chips' peak")
    if canvases is not None and canvases < 1:
        raise InputError(f"--canvases={canvases} has to be 1 or more")
    if memory_gib is not None and not 0 < memory_gib < math.inf:
        raise InputError(f"--hbm-gib={memory_gib:g} has to be a number above 0")
    limit = memory_gib * GIB if memory_gib else chip.memory * chip.usable if chip else memory_of_this_machine()
    mesh = mesh_shape(config.training.mesh, count)
    compiled_on = math.prod(smallest_mesh(config, mesh))  # wrong input is told before anything is compiled
    as_there = as_compiled_for(config, chip)
    tell(f"compiling the training step for {chips}: minutes for a large model")
    memory, rate = run_on_fake_cpus(compiled_on, measure, as_there, chip, mesh, limit, libtpu)
    return compose(
        as_there,
        memory,
        chips=chips,
        mesh=mesh,
        limit=limit,
        peak=rate * count,
        links=chip.links if chip else 0.0,
        mfu=mfu or DEFAULT_MFU,
        canvases=canvases or config.training.steps * config.data.batch_size,
        assumptions=_assumptions(config, chip, memory, mesh, mfu_given=mfu is not None, limit_given=bool(memory_gib)),
    )


def measure(
    config: Config, chip: Chip | None, mesh: tuple[int, int, int], limit: float, libtpu: bool = True
) -> tuple[Memory, float]:
    """The memory of a step, and the peak FLOP/s of one device: the table's, or what this machine's CPU reaches."""
    memory = measure_memory(config, chip, mesh, limit, libtpu=libtpu)
    return memory, chip.flops if chip else matmul_flops(config.model.dtype)


def compose(
    config: Config,
    memory: Memory,
    *,
    chips: str,
    mesh: tuple[int, int, int],
    limit: float,
    peak: float,
    mfu: float,
    canvases: int,
    links: float = 0.0,
    assumptions: tuple[str, ...] = (),
) -> Estimate:
    """The figures that follow from what was measured.

    Args:
      peak: of all devices, in FLOP/s.
      links: from one device to the others, in bytes/s; 0: unknown.
    """
    on_device = canvases_per_device(config, mesh[0] * mesh[1])
    model = make_model(config)
    per_canvas = flops_per_canvas(config, model, mesh[0] * mesh[1])
    total = memory.wanted.total if memory.wanted else memory.fixed + memory.per_canvas * on_device
    batch = memory.batch_per_canvas * on_device
    fixed = max(total - memory.per_canvas * on_device - memory.state_per_device, 0.0)
    fits = memory.wanted is not None and total <= limit
    largest = memory.largest.canvases if memory.largest else 0
    rate = peak * mfu / per_canvas
    # What another compiler sends is not what this one would: where it is not the chip's own, nothing is said.
    messages = memory.wanted.messages if memory.wanted and memory.is_exact and links > 0 else None
    sent = None if messages is None else bytes_sent(messages, mesh[0] / memory.mesh[0])
    return Estimate(
        chips=chips,
        devices=math.prod(mesh),
        mesh=_named(mesh),
        parameters=memory.parameters,
        flops_per_canvas=per_canvas,
        flops_per_step=per_canvas * config.data.batch_size,
        batch_size=config.data.batch_size,
        canvases_per_device=on_device,
        state_bytes=memory.state_per_device,
        fixed_bytes=fixed,
        activation_bytes=total - fixed - batch - memory.state_per_device,
        batch_bytes=batch,
        total_bytes=total,
        limit_bytes=limit,
        fits=fits,
        bytes_per_canvas=memory.per_canvas,
        largest_canvases_per_device=largest,
        largest_batch_size=largest * mesh[0] * mesh[1],
        largest_total_bytes=memory.largest.total if memory.largest else 0,
        peak_flops=peak,
        mfu=mfu,
        step_seconds=config.data.batch_size / rate,
        canvases_per_second=rate,
        message_bytes=sent,
        message_seconds=None if sent is None else sent / links,
        canvases=canvases,
        days=canvases / rate / 86_400,
        checkpoint_bytes=memory.state,
        checkpoints_bytes=memory.state * most_checkpoints(config.training),
        compiler=memory.compiler,
        compiled_mesh=_named(memory.mesh),
        assumptions=assumptions,
        advice=() if fits else _advice(config, memory, mesh, limit),
    )


def _named(mesh: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("data", "fsdp", "tensor"), mesh, strict=True))


def as_compiled_for(config: Config, chip: Chip | None) -> Config:
    """With what `auto` means there, which a process without the chip would not know."""
    model = config.model
    if model.attention == "cudnn" and (chip is None or chip.is_tpu):
        raise InputError("model.attention=cudnn is for NVIDIA GPUs: choose auto")
    dtype = ("bfloat16" if chip else "float32") if model.dtype == "auto" else model.dtype
    attention = model.attention
    if attention in ("auto", "cudnn"):  # cuDNN's is not compiled without it
        attention = "xla" if chip else "heads_first"
    return dataclasses.replace(config, model=dataclasses.replace(model, dtype=dtype, attention=attention))


def _assumptions(
    config: Config, chip: Chip | None, memory: Memory, mesh: tuple[int, int, int], *, mfu_given: bool, limit_given: bool
) -> tuple[str, ...]:
    """What the figures rest on and was not measured, a sentence each."""
    said = []
    if not mfu_given:
        said.append(f"{DEFAULT_MFU:.0%} MFU is assumed, not measured: a run logs its own, give it as --mfu")
    if chip is None:
        said.append("the peak is what matrix products reach on this machine's CPU now, alone or beside what else runs")
    else:
        said.append(f"the peak is the data sheet's of {chip.name} in bfloat16")
        if config.model.dtype == "float32":
            said.append("model.dtype=float32 reaches a small part of that peak: its MFU is low")
    if share := _repeated_share(config, mesh):
        said.append(
            f"each of {mesh[0]} replicas orthogonalises all of Muon's matrices, {share:.0%} of what a device computes: "
            "it counts as use once, so that MFU is lower; training.mesh.fsdp divides that work"
        )
    if memory.is_exact and chip is not None and chip.links and math.prod(mesh) > 1:
        said.append("messages take no less than their bytes over all links of a chip; computation may hide a part")
    if config.model.remat != "none":
        said.append("what model.remat computes again takes time and is not counted as use: its MFU is lower")
    said.append("no step waits for data, and checkpoints and evaluation take no time")
    if not memory.is_exact:
        said.append(
            "the state and the batch are exact; activations are what XLA for CPUs allocates, and another compiler "
            "allocates otherwise (that of TPUs 0.83 to 1.13 of it, a GPU's was not compared): leave a seventh free"
        )
    if memory.mesh != mesh:
        said.append(f"compiled for {memory.mesh[0]} of the {mesh[0]} data-parallel replicas, which are all alike")
    if chip is not None and chip.usable < 1 and not limit_given:
        said.append(
            f"JAX takes {chip.usable:.0%} of a GPU's memory: XLA_CLIENT_MEM_FRACTION changes that, and --hbm-gib here"
        )
    said.append("a checkpoint is counted as large as its arrays: what orbax compresses is not taken off")
    return tuple(said)


def _repeated_share(config: Config, mesh: tuple[int, int, int]) -> float:
    """Of the FLOPs that a device computes, those of the optimizer that another replica computes as well."""
    data, fsdp, tensor = mesh
    model = make_model(config)
    optimizer = optimizer_flops(config.training, jax.eval_shape(lambda: init_params(model, jax.random.key(0))))
    repeated = (data - 1) / data * optimizer / (fsdp * tensor)
    return repeated / (update_flops(config, model, data * fsdp) / math.prod(mesh) + repeated)


def _advice(config: Config, memory: Memory, mesh: tuple[int, int, int], limit: float) -> tuple[str, ...]:
    """Settings under which it would fit."""
    wanted, unit = canvases_per_device(config, mesh[0] * mesh[1]), config.training.accumulate
    advice = []
    if memory.largest:
        most = memory.largest.canvases
        advice.append(f"--config.data.batch_size={most * mesh[0] * mesh[1]} fits")
        parts = next((n for n in range(1, wanted + 1) if wanted % n == 0 and wanted // n <= most // unit), 0)
        if parts > unit:
            advice.append(f"--config.training.accumulate={parts} computes the batch in {parts} parts")
    splits = [2**n for n in range(1, mesh[0].bit_length()) if mesh[0] % 2**n == 0]
    enough = next((n for n in splits if memory.fixed / n < limit / 2), None)
    if enough and (memory.state_per_device > limit / 4 or not memory.largest):
        state = memory.state_per_device / enough / GIB
        advice.append(f"--config.training.mesh.fsdp={enough * mesh[1]} leaves {state:.1f} GiB of state on a device")
    if config.model.remat == "none":
        advice.append("--config.model.remat=full keeps few activations, for a quarter to a third more time")
    return tuple(advice) or ("more memory a device: more chips, or larger ones",)

"""The memory that a training step takes on one device, from the compiled step; no array of it exists.

The state and the batch are exact. The rest is what the compiler allocates, and another compiler allocates otherwise:
for Ti/4 and S/4 on 8 to 64 canvases that of TPUs (v5p) took 1.00 to 1.11 of what that of CPUs did, and 0.83 with
`model.remat=full`; for B/4 on 16 devices that share its state 0.85, and for `text8_best` on 32 of them 1.13. No GPU's
has been compared.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

from pixjax.chips import Chip
from pixjax.codec import CanvasCodec
from pixjax.config import Config, MeshConfig
from pixjax.errors import InputError, RunError
from pixjax.planning.messages import Message, read_messages
from pixjax.planning.target import Target, find_target
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import canvases_per_device, jit_train_step, place_batch, place_state
from pixjax.training.rows import Rows, rows_by_order
from pixjax.training.state import TrainState, make_model
from pixjax.training.step import make_train_step

_TRIES = 4  # compilations to find the largest batch
_FULL = 0.98  # of the memory: nearer is not looked for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes on one device that works on so many canvases."""

    canvases: int
    state: int  # parameters, moments and averages
    batch: int
    rest: int  # gradients, activations, workspace, code, and what the device's layout of arrays pads
    flops: float  # as the compiler counts them: the body of a scan once
    messages: (
        tuple[Message, ...] | None
    ) = ()  # between the devices; None: as its compiler writes them they are not read

    @property
    def total(self) -> int:
        return self.state + self.batch + self.rest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """What a training step takes on one device: total(canvases) = fixed + per_canvas · canvases, nearly."""

    parameters: int
    state: int  # bytes of the whole state, over all devices: what a checkpoint holds
    state_per_device: int
    batch_per_canvas: float  # bytes of the batch itself, a part of per_canvas
    fixed: float
    per_canvas: float
    wanted: Footprint | None  # with the config's batch; None: the compiler finds no room for it
    largest: Footprint | None  # with the largest batch that fits; None: not even the smallest does
    compiler: str
    is_exact: bool  # compiled by what training on the chip uses
    mesh: tuple[int, int, int]  # that was compiled for


def measure_memory(
    config: Config, chip: Chip | None, mesh: tuple[int, int, int], limit: float, *, libtpu: bool = True
) -> Memory:
    """Compiles the step of a config a few times, each with another batch.

    Args:
      mesh: the sizes of (data, fsdp, tensor). What a device holds depends on the first only through its share of the
        batch, so that a few such replicas stand for any number of them.
      limit: bytes that a device has.
      libtpu: compile for TPUs by their own compiler where it is installed.

    Raises `InputError` where the batch does not divide over the mesh.
    """
    wanted = canvases_per_device(config, mesh[0] * mesh[1])
    compiled_mesh = smallest_mesh(config, mesh)
    target = find_target(chip, math.prod(compiled_mesh), libtpu=libtpu)
    footprints: dict[int, Footprint | None] = {}

    def measure(canvases: int) -> Footprint | None:
        if canvases not in footprints:
            footprints[canvases] = compile_step(config, target, compiled_mesh, canvases)
        return footprints[canvases]

    unit = _unit(config, compiled_mesh, wanted)
    canvases = wanted
    while measure(canvases) is None and canvases > unit:
        canvases = max(canvases // 2 // unit, 1) * unit
    measure(canvases // 2 // unit * unit or 2 * canvases)
    largest = _largest_that_fits(measure, footprints, unit, limit)
    fixed, per_canvas = _line(footprints)
    config = _with_batch(config, compiled_mesh, wanted)
    devices = make_mesh(config.training.mesh, target.devices)
    state = place_state(config, make_model(config), make_optimizer(config.training), devices)
    return Memory(
        parameters=sum(x.size for x in jax.tree.leaves(state.params)),
        state=sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)),
        state_per_device=bytes_per_device(state),
        batch_per_canvas=bytes_per_device(place_batch(config, devices)) / wanted,
        fixed=fixed,
        per_canvas=per_canvas,
        wanted=footprints[wanted],
        largest=largest,
        compiler=target.compiler,
        is_exact=target.is_its_own,
        mesh=compiled_mesh,
    )


def smallest_mesh(config: Config, mesh: tuple[int, int, int]) -> tuple[int, int, int]:
    """The mesh that stands for a larger one: two replicas, or as many as give every decision order a canvas.

    Raises `InputError` where the batch does not divide over the mesh, or is too small for the orders.
    """
    wanted = canvases_per_device(config, mesh[0] * mesh[1])
    for data in range(min(mesh[0], 2), mesh[0]):
        smaller = (data, *mesh[1:])
        if _rows(config, smaller, wanted):
            return smaller
    rows_by_order(_with_batch(config, mesh, wanted))
    return mesh


def _unit(config: Config, mesh: tuple[int, int, int], wanted: int) -> int:
    """Of canvases on a device: one of each part of a batch, some of each decision order, and text beside images as in
    the batch that is wanted.
    """
    parts, shards = config.training.accumulate, mesh[0] * mesh[1]

    def are_all_text(rows: Rows | None) -> bool | None:
        return None if rows is None else rows.text_rows(shards).are_all

    as_wanted = are_all_text(_rows(config, mesh, wanted))
    sizes = range(parts, wanted, parts)
    return next((n for n in sizes if are_all_text(_rows(config, mesh, n)) == as_wanted), wanted)


def _rows(config: Config, mesh: tuple[int, int, int], canvases: int) -> Rows | None:
    """How such a batch is parted; None where it is too small for the orders."""
    try:
        return rows_by_order(_with_batch(config, mesh, canvases))
    except InputError:
        return None


def _largest_that_fits(
    measure: Callable[[int], Footprint | None], footprints: Mapping[int, Footprint | None], unit: int, limit: float
) -> Footprint | None:
    """Follows the line through the two largest batches that were compiled, and compiles what it promises."""
    for _ in range(_TRIES):
        fitting = [f for f in footprints.values() if f is not None and f.total <= limit]
        best = max(fitting, key=lambda f: f.canvases, default=None)
        low = best.canvases if best else 0
        high = min((n for n, f in footprints.items() if n > low and f not in fitting), default=math.inf)
        fixed, per_canvas = _line(footprints)
        guess = min(math.floor((limit - fixed) / per_canvas / unit) * unit, high - unit) if per_canvas > 0 else 0
        if guess <= low or (best and best.total > _FULL * limit):
            return best
        measure(int(guess))
    return best


def _line(footprints: Mapping[int, Footprint | None]) -> tuple[float, float]:
    """(fixed, per_canvas) in bytes, so that total = fixed + per_canvas · canvases; (0, 0) without two points."""
    points = sorted((f for f in footprints.values() if f is not None), key=lambda f: f.canvases)[-2:]
    if len(points) < 2:
        return 0.0, 0.0
    low, high = points
    per_canvas = (high.total - low.total) / (high.canvases - low.canvases)
    return high.total - per_canvas * high.canvases, per_canvas


def compile_step(config: Config, target: Target, mesh: tuple[int, int, int], canvases: int) -> Footprint | None:
    """The footprint of a step with so many canvases on a device; None where the compiler says that they do not fit."""
    try:
        return footprint_of(compiled_step(config, target, mesh, canvases), target)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            return None
        raise


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompiledStep:
    """With so many canvases on each device of a mesh; what it works on, as `ShapeDtypeStruct`s with their shardings."""

    compiled: jax.stages.Compiled
    state: TrainState
    batch: dict[str, jax.ShapeDtypeStruct]
    mesh: tuple[int, int, int]
    canvases: int


def compiled_step(config: Config, target: Target, mesh: tuple[int, int, int], canvases: int) -> CompiledStep:
    config = _with_batch(config, mesh, canvases)
    devices = make_mesh(config.training.mesh, target.devices)
    model, optimizer = make_model(config), make_optimizer(config.training)
    state, batch = place_state(config, model, optimizer, devices), place_batch(config, devices)
    train_step = make_train_step(config, CanvasCodec(**config.codec_arguments()), model, optimizer)
    compiled = jit_train_step(train_step, state, devices).lower(state, batch).compile(target.options)
    return CompiledStep(compiled=compiled, state=state, batch=batch, mesh=mesh, canvases=canvases)


def footprint_of(step: CompiledStep, target: Target) -> Footprint:
    """Raises `RunError` where the compiler does not tell."""
    memory, cost, text = step.compiled.memory_analysis(), step.compiled.cost_analysis(), step.compiled.as_text()
    if memory is None or cost is None or text is None:
        raise RunError(f"{target.compiler} does not tell the memory of what it compiles: use another version of jax")
    total = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # what is given back in the place of what came
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes
    )
    held = bytes_per_device(step.state), bytes_per_device(step.batch)
    return Footprint(
        canvases=step.canvases,
        state=held[0],
        batch=held[1],
        rest=total - sum(held),
        flops=cost["flops"],
        messages=_messages(text, step.mesh),
    )


def _messages(text: str, mesh: tuple[int, int, int]) -> tuple[Message, ...] | None:
    """Another version of a compiler may write them in another way, and memory is told all the same."""
    try:
        return read_messages(text, mesh)
    except (LookupError, ValueError):
        return None


def bytes_per_device(tree: Any) -> int:
    """The bytes on one device of arrays, or `ShapeDtypeStruct`s, with their shardings."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _with_batch(config: Config, mesh: tuple[int, int, int], canvases: int) -> Config:
    """For so many canvases on each device of a mesh."""
    data, fsdp, tensor = mesh
    training = dataclasses.replace(config.training, mesh=MeshConfig(data=data, fsdp=fsdp, tensor=tensor))
    batch_size = dataclasses.replace(config.data, batch_size=canvases * data * fsdp)
    return dataclasses.replace(config, training=training, data=batch_size)

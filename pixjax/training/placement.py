"""Shapes and shardings of the arrays of a training step, decided before the first of them exists.

Training makes its arrays after these shapes; `pixjax estimate` and the benchmarks compile the same step without any.
"""

import functools

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.typing import DTypeLike

from pixjax.config import Config
from pixjax.data.context import empty_context
from pixjax.diffusion import require_measurable
from pixjax.errors import InputError
from pixjax.models import JiT, Palette
from pixjax.training.mesh import batch_sharding, replicated, state_shardings
from pixjax.training.state import TrainState, init_state
from pixjax.training.step import Batch, TrainStep

_MOST_PROBABILITIES = 2**23  # of a text head, on one canvas: 32 MiB each time they are held


def place_state(config: Config, model: JiT, optimizer: optax.GradientTransformation, mesh: Mesh) -> TrainState:
    """The state of a run, a `ShapeDtypeStruct` with its sharding for each array.

    Raises `InputError` where a text head has too large a vocabulary to be trained, or a law of t adapts to what is not
    measured.
    """
    require_measurable(config)
    _require_few_probabilities(model.palette)
    shapes = jax.eval_shape(lambda: init_state(config, model, optimizer))

    def place(x: jax.ShapeDtypeStruct, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    return jax.tree.map(place, shapes, state_shardings(mesh, model, shapes))


def _require_few_probabilities(palette: Palette | None) -> None:
    if palette is not None and palette.codec.capacity * palette.vocab_size > _MOST_PROBABILITIES:
        raise InputError(
            f"a text head holds a probability for each of {palette.vocab_size:,} ids in each of "
            f"{palette.codec.capacity:,} cells, too many for one canvas: choose a smaller vocabulary, such as "
            "codec.tokenizer=bytes, smaller canvases, or model.codebook_head=False, model.codebook_input=False, "
            "model.cell_layers=0 and diffusion.blocks.text=whole"
        )


def canvases_per_device(config: Config, shards: int) -> int:
    """The part of a batch that is on each of the devices (data x fsdp) that it is split over.

    Raises `InputError` where it does not divide over them and the parts of `training.accumulate`.
    """
    size, parts = config.data.batch_size, config.training.accumulate
    if size % (parts * shards):
        raise InputError(
            f"data.batch_size={size} does not divide over {shards} devices (data x fsdp) in "
            f"training.accumulate={parts} parts: choose a multiple of {parts * shards}"
        )
    return size // shards


def place_batch(config: Config, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The fields of a batch that a step computes with. Raises `InputError` where it does not divide."""
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    size = canvases_per_device(config, shards) * shards
    side = config.model.canvas_size
    fields: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
        "canvas": ((side, side, 3), np.uint8),
        "modality": ((), np.int32),
        "label": ((), np.int32),
        "loss_mask": ((side, side), np.bool_),
    }
    if pages := config.model.context_canvases:
        fields |= {name: (x.shape[1:], x.dtype) for name, x in empty_context(0, pages, side).items()}
    sharding = batch_sharding(mesh)
    return {
        name: jax.ShapeDtypeStruct((size, *shape), dtype, sharding=sharding) for name, (shape, dtype) in fields.items()
    }


def jit_train_step(train_step: TrainStep, state: TrainState, mesh: Mesh) -> jax.stages.Wrapped:
    """The step, compiled for a state as it is placed; the state that goes in is given up for the one that comes out."""
    shardings = jax.tree.map(lambda x: x.sharding, state)

    @functools.wraps(train_step)
    def on_mesh(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):  # by which the model lays out its activations
            return train_step(state, batch)

    return jax.jit(
        on_mesh,
        donate_argnums=0,
        in_shardings=(shardings, batch_sharding(mesh)),
        out_shardings=(shardings, replicated(mesh)),
    )

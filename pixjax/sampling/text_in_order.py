"""Text canvases, block by block in reading order: letter by letter from what is kept, or each block from noise."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, CanvasCodec, to_float
from pixjax.config import Config, SamplingConfig
from pixjax.diffusion import DecisionOrder, Frames, sample, time_grids
from pixjax.models import NO_LABEL, Context, JiT, Params, Written, predict, type_condition
from pixjax.models.writing import Draw, write
from pixjax.training.mesh import batch_sharding

UNWRITTEN = 0.0  # the colour of what is not decided yet, in the frames of a trajectory


def text_in_order(
    denoiser: Denoiser,
    settings: SamplingConfig,
    trajectory: Sequence[int],
    index: Int[np.ndarray, " batch"],
    context: Context | None,
    key: jax.Array,
) -> tuple[Array, Frames]:
    """The canvases of these numbers, and how far they were written at some of the steps, of which the last has all."""
    config, codec = denoiser.config, denoiser.codec
    order = DecisionOrder.named(settings.blocks.text, codec, config.model.patch)
    assert order is not None
    index, context = jax.device_put((index, context), batch_sharding(denoiser.mesh))
    if order.block == 1:
        how = Draw(settings.temperature, settings.top_p)
        ids = _letter_by_letter(denoiser.model, config, order, denoiser.params, key, how, index, context)
    else:
        grid = time_grids(settings.grid, np.full(1, TEXT), settings.steps, config.diffusion.noise_scale)[:, 0]
        method = settings.sampler, settings.churn, settings.asymmetry
        ids = _block_by_block(denoiser.model, config, order, method, denoiser.params, key, grid, index, context)
    x = _painted(codec, ids)
    done = (np.asarray(trajectory, int) + 1) / settings.steps
    shown = order.block_of_pixel < np.ceil(done * order.num_blocks)[:, None]
    shown = shown.reshape(len(done), 1, *x.shape[1:3], 1)
    frames = jnp.where(shown, x[None], UNWRITTEN)
    return x, Frames(x_hat=frames, t=jnp.broadcast_to(done[:, None], (len(done), len(x))))


def _painted(codec: CanvasCodec, ids) -> Array:
    return codec.mark(to_float(jnp.asarray(codec.encode_ids(np.asarray(ids)))), TEXT)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _letter_by_letter(
    model: JiT, config: Config, order: DecisionOrder, params: Params, key, how: Draw, index, context: Context | None
):
    given = jnp.zeros((len(index), order.codec.capacity), jnp.int32)
    type_id, label = _conditions(config, len(index))
    keys = _keys(key, index)
    return write(model, params, order, keys, given, given > 0, how, type_id, label, context).ids


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _block_by_block(
    model: JiT, config: Config, order: DecisionOrder, method, params: Params, key, grid, index, context: Context | None
):
    """Each block by a sampler, the ones before it clean; what is read of it is what the next ones see."""
    codec, size = order.codec, config.model.canvas_size
    sampler, churn, asymmetry = method
    type_id, label = _conditions(config, len(index))
    colors = jnp.asarray(codec.colors)
    blank = jnp.full((len(index), size * size, 3), -1.0)

    def decide(ids, block):
        own = jnp.asarray(order.block_of_cell) == block
        clean = blank.at[:, codec.cell_index].set(colors[ids]).reshape(-1, size, size, 3)
        on_pixels = (jnp.asarray(order.block_of_pixel) == block).reshape(size, size, 1)

        def denoise(z, t, previous):
            of_cell = jnp.where(own, t[:, None], 0.0)
            # What is no cell stays as it was in training: clean, and black.
            z = jnp.where(on_pixels, z, jnp.where((order.block_of_pixel < 0).reshape(size, size, 1), -1.0, z))
            found = predict(
                model, params, z, t, type_id, label, context=context, written=Written(clean, of_cell), order=order
            )
            return jnp.where(on_pixels, found.x_hat, 0.0)

        keys = jax.vmap(lambda key: jax.random.fold_in(key, block))(_keys(key, index))
        grids = jnp.broadcast_to(jnp.asarray(grid)[:, None], (len(grid), len(index)))
        x, _ = sample(
            denoise, keys, grids, (size, size, 3), sampler=sampler, noise_scale=config.diffusion.noise_scale,
            churn=churn, asymmetry=asymmetry,
        )  # fmt: skip
        return jnp.where(own, codec.decode_ids(x)[0], ids), None

    start = jnp.zeros((len(index), codec.capacity), jnp.int32)
    ids, _ = jax.lax.scan(decide, start, jnp.arange(order.num_blocks))
    return ids


def _conditions(config: Config, batch: int):
    return type_condition(config.model, jnp.full(batch, TEXT, jnp.int32)), jnp.full(batch, NO_LABEL, jnp.int32)


def _keys(key: jax.Array, index):
    return jax.vmap(lambda i: jax.random.fold_in(key, 2 * i))(index)

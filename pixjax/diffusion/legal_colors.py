"""Estimates of a text canvas that need no network: each cell shows one of the legal colours.

The mean legal colour of a cell given its noisy colour is the best prediction that looks at one cell alone.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pixjax.codec import CanvasCodec
from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion.path import MIN_TIME, Denoise, per_canvas, sigma_at
from pixjax.diffusion.sampler import Predict

_POSTERIORS = 2**24  # probabilities held at once: a vocabulary times the cells of a batch may be far more


def matched_filter(
    codec: CanvasCodec, noise_scale: float, log_prior: Float[AnyArray, " vocab"] | None = None
) -> Denoise:
    """The mean legal colour of each cell given its noisy pixels and a unigram prior; black where no cell is."""

    def denoise(z, t):
        black = jnp.full(z.shape, -1.0)
        sigma = sigma_at(t, noise_scale)
        return mean_colors(codec, z / per_canvas(jnp.maximum(t, MIN_TIME)), sigma, elsewhere=black, log_prior=log_prior)

    return denoise


def project(
    predict: Predict,
    codec: CanvasCodec,
    is_text: Callable[[Float[Array, "batch height width 3"]], Bool[Array, " batch"]],
    *,
    noise_scale: float,
    start: float | Float[Array, ""],
    strength: float | Float[Array, ""] = 1.0,
) -> Predict:
    """Blends x̂ of text canvases, from time `start` on, toward the mean legal colour of each cell.

    The mean is over the posterior of the legal colours when x̂ is taken for a colour under noise of the path's σ: all
    of them early, and at the end the nearest one, which is the clamping of Diffusion-LM (arXiv 2205.14217).

    Args:
      is_text: from x̂ to which canvases are text.
      strength: 0 leaves x̂ as it is, 1 replaces it.
    """

    def projected(z, t, previous):
        x_hat = predict(z, t, previous)
        legal = mean_colors(codec, x_hat, sigma_at(t, noise_scale), elsewhere=x_hat)
        share = jnp.where((t >= start) & is_text(x_hat), strength, 0.0)
        return x_hat + per_canvas(share) * (legal - x_hat)

    return projected


def mean_colors(
    codec: CanvasCodec,
    y: Float[Array, "batch height width 3"],
    sigma: Float[Array, " batch"],
    *,
    elsewhere: Float[Array, "batch height width 3"],
    log_prior: Float[AnyArray, " vocab"] | None = None,
) -> Float[Array, "batch height width 3"]:
    """E[colours | y = colours + σ·ε] of each cell, and `elsewhere` where no cell is. All in [-1, 1]."""
    colors = jnp.asarray(codec.colors.reshape(codec.vocab_size, -1))

    def mean(log_posterior):
        return jnp.matmul(jnp.exp(log_posterior), colors, precision=jax.lax.Precision.HIGHEST)

    means = each_cell(codec, mean, y, sigma, log_prior)
    pixels = elsewhere.reshape(len(y), -1, 3)
    return pixels.at[:, codec.cell_index].set(means.reshape(len(y), *codec.cell_index.shape, 3)).reshape(y.shape)


def each_cell(codec: CanvasCodec, summarise: Callable[..., Array], y, sigma, log_prior, *per_cell: Any) -> Array:
    """`summarise` of the log-posterior [batch, vocab] of every cell (and of what goes with the cell), a few at once."""

    def one(inputs):
        cell, *rest = inputs
        return summarise(codec.color_code.decode_soft(cell, sigma, log_prior), *rest)

    cells = y.reshape(len(y), -1, 3)[:, codec.cell_index]
    inputs = [jnp.moveaxis(values, 1, 0) for values in (cells, *per_cell)]
    together = max(1, min(codec.capacity, _POSTERIORS // (len(y) * codec.vocab_size)))
    return jnp.moveaxis(jax.lax.map(one, inputs, batch_size=together), 0, 1)


def counted_cells(codec: CanvasCodec, mask: Bool[AnyArray, "batch height width"]) -> Bool[AnyArray, "batch capacity"]:
    """The cells whose pixels a mask counts: all of a cell's, or none. NumPy or JAX."""
    return mask.reshape(len(mask), -1)[:, codec.cell_index[:, 0]]

"""The posterior over the ids of cells: each cell of a text canvas shows one of the legal colours, the palette.

A canvas under noise of σ = (1 - t)·s / t says of each cell, by itself, how probable each id is: the Gaussian matched
filter, exact by Bayes' rule. The mean legal colour of a cell given its noisy colour is the best prediction that looks
at one cell alone. What a network adds are logits: what the cells around say.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import TEXT, CanvasCodec
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Palette:
    """The legal colours of text canvases, and which canvases are known to be text: the static part of a text head.

    Two are equal when they paint alike.
    """

    codec: CanvasCodec
    noise_scale: float
    text_types: tuple[int, ...]  # the type ids (or NO_TYPE) under which a canvas is known to be text
    is_input: bool  # the network also sees the probability of each id, cell by cell
    is_output: bool  # it says logits for text, not colours
    reads_marker: bool = False  # a canvas whose marker is black, without any noise, is known to be text too

    @property
    def vocab_size(self) -> int:
        return self.codec.vocab_size

    def is_text(self, type_id: Int[Array, " batch"], z: Float[Array, "batch height width 3"]) -> Bool[Array, " batch"]:
        """Which canvases are known to be text, by their type condition or by their marker."""
        told = jnp.isin(type_id, jnp.asarray(self.text_types))
        if not self.reads_marker:
            return told
        return told | jnp.all(z == self.codec.mark(z, TEXT), axis=(1, 2, 3))

    def log_posterior(
        self, z: Float[Array, "batch height width 3"], t: Float[Array, " batch"] | Float[Array, "batch cells"] | None
    ) -> Float[Array, "batch cells vocab"]:
        """log p(id | the pixels of its cell) under a uniform prior, in nats.

        Args:
          t: of the canvas, or of each cell; None: all is noise, which says nothing.
        """
        if t is None:
            return jnp.full((len(z), self.codec.capacity, self.vocab_size), -np.log(self.vocab_size), jnp.float32)
        t = t.astype(jnp.float32).reshape(len(z), -1)
        cells = z.astype(jnp.float32).reshape(len(z), -1, 3)[:, self.codec.cell_index]
        y = cells / jnp.maximum(t, MIN_TIME)[..., None, None]
        sigma = jnp.broadcast_to(sigma_at(t, self.noise_scale), cells.shape[:2])
        return self.codec.color_code.decode_soft(y, sigma)

    def at_pixels(self, values: Float[Array, "batch cells vocab"]) -> Float[Array, "batch height width vocab"]:
        """What belongs to a cell at each of its pixels; zero where no cell is."""
        side, cells = self.codec.canvas_size, self.codec.capacity
        cell_of_pixel = np.full(side * side, cells)
        cell_of_pixel[self.codec.cell_index] = np.arange(cells)[:, None]
        padded = jnp.pad(values, ((0, 0), (0, 1), (0, 0)))
        return padded[:, cell_of_pixel].reshape(len(values), side, side, -1)

    def of_cells(self, values: Float[Array, "batch height width vocab"]) -> Float[Array, "batch cells vocab"]:
        """What the pixels of a cell say together."""
        return values.reshape(len(values), -1, values.shape[-1])[:, self.codec.cell_index].sum(axis=2)

    def mean(self, log_probs: Float[Array, "batch cells vocab"]) -> Float[Array, "batch height width 3"]:
        """The expected canvas; black, as text canvases are, where no cell is."""
        side, colors = self.codec.canvas_size, jnp.asarray(self.codec.colors)
        means = jnp.einsum("bcv,vpd->bcpd", jnp.exp(log_probs), colors, precision=jax.lax.Precision.HIGHEST)
        blank = jnp.full((len(log_probs), side * side, 3), -1.0)
        return blank.at[:, self.codec.cell_index].set(means).reshape(-1, side, side, 3)

"""What a denoiser may know of text canvases: each cell shows one of the legal colours.

A canvas under noise of σ = (1 - t)·s / t says of each cell, by itself, how probable each id is: the Gaussian matched
filter, exact by Bayes' rule. What the network adds are logits: what the cells around say.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import TEXT, CanvasCodec
from pixjax.diffusion.path import MIN_TIME, sigma_at


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codebook:
    """The static part of a codebook head and input. Two are equal when they paint alike."""

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

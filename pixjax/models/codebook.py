"""What a denoiser may know of text canvases: each cell shows one of the legal colours.

A canvas under noise of σ = (1 - t)·s / t says of each cell, by itself, how probable each id is: the Gaussian matched
filter, exact by Bayes' rule. What the network adds are logits: what the cells around say.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import CanvasCodec

_MIN_SIGMA = 1e-4  # below it nothing changes: the nearest colour is certain
_MIN_TIME = 1e-4  # below it a canvas says nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codebook:
    """The static part of a codebook head and input. Two are equal when they paint alike."""

    codec: CanvasCodec
    noise_scale: float
    text_types: tuple[int, ...]  # the type ids (or NO_TYPE) under which a canvas is known to be text
    is_input: bool  # the network also sees the probability of each id, cell by cell
    is_output: bool  # it says logits for text, not colours

    @property
    def vocab_size(self) -> int:
        return self.codec.vocab_size

    def is_text(self, type_id: Int[Array, " batch"]) -> Bool[Array, " batch"]:
        return jnp.isin(type_id, jnp.asarray(self.text_types))

    def log_posterior(
        self, z: Float[Array, "batch height width 3"], t: Float[Array, " batch"]
    ) -> Float[Array, "batch cells vocab"]:
        """log p(id | the pixels of its cell) under a uniform prior, in nats."""
        t = jnp.maximum(t.astype(jnp.float32), _MIN_TIME)[:, None]
        sigma = jnp.maximum((1 - t) * self.noise_scale / t, _MIN_SIGMA)
        cells = (z.astype(jnp.float32).reshape(len(z), -1, 3) / t[..., None])[:, self.codec.cell_index]
        return self.codec.color_code.decode_soft(cells, jnp.broadcast_to(sigma, cells.shape[:2]))

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
        means = jnp.einsum("bcv,vpd->bcpd", jnp.exp(log_probs), colors)
        blank = jnp.full((len(log_probs), side * side, 3), -1.0)
        return blank.at[:, self.codec.cell_index].set(means).reshape(-1, side, side, 3)

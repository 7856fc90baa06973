"""Infilling: pixels whose clean value is known, and the rest generated around them, without any training for it."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from pixjax.codec.scale import Array
from pixjax.diffusion.sampler import Predict


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """Clean canvases in [-1, 1], and which of their pixels are known."""

    canvas: Float[Array, "batch height width 3"]
    mask: Bool[Array, "batch height width"]


def keep_known(predict: Predict, known: Known) -> Predict:
    """A prediction that is right where the canvas is known.

    Known pixels then follow the path of their own value through every sampler, with the noise that the sampler left
    them, and come back exactly: the replacement of RePaint (arXiv 2201.09865, equation 8) without noise of its own.
    Its resampling is `sampler.Repeats`.
    """

    def with_known(z, t, previous):
        return jnp.where(known.mask[..., None], known.canvas, predict(z, t, previous))

    return with_known

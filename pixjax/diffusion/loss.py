"""The losses that training minimises."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def velocity_weight(t: Float[Array, " batch"], t_eps: float) -> Float[Array, " batch"]:
    """The error of the velocity (x - z) / (1 - t) that the clean prediction implies, as in JiT (arXiv 2511.13720,
    Table 1(c)): the z cancels, which leaves the error of x over max(1 - t, t_eps)².
    """
    return 1.0 / jnp.square(jnp.maximum(1 - t, t_eps))


def unit_weight(t: Float[Array, " batch"], t_eps: float) -> Float[Array, " batch"]:
    """The error of x itself."""
    return jnp.ones_like(t)


# By the values of `diffusion.loss`, the weight of a canvas at time t: the tests hold the config against it.
WEIGHTS: dict[str, Callable[[Float[Array, " batch"], float], Float[Array, " batch"]]] = {
    "v": velocity_weight,
    "x": unit_weight,
}


def denoising_loss(
    x_hat: Float[Array, "batch height width 3"],
    x: Float[Array, "batch height width 3"],
    t: Float[Array, " batch"],
    mask: Bool[Array, "batch height width"],
    *,
    kind: str,
    t_eps: float,
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """The loss and the plain mean squared error of each canvas, over its unmasked pixels.

    Args:
      kind: one of `WEIGHTS`.
      t_eps: the floor of 1 - t.
    """
    squared = jnp.mean(jnp.square(x_hat - x), axis=-1)
    mse = jnp.sum(squared * mask, axis=(1, 2)) / jnp.maximum(jnp.sum(mask, axis=(1, 2)), 1)
    return mse * WEIGHTS[kind](t, t_eps), mse


def reading_loss(
    log_probs: Float[Array, "batch cells vocab"],
    ids: Int[Array, "batch cells"],
    counted: Bool[Array, "batch cells"],
) -> Float[Array, " batch"]:
    """The cross-entropy of what was painted, in nats a counted cell, of each canvas (CDCD, arXiv 2211.15089)."""
    nats = -jnp.take_along_axis(log_probs, ids[..., None], axis=-1)[..., 0]
    return jnp.sum(nats * counted, axis=1) / jnp.maximum(jnp.sum(counted, axis=1), 1)

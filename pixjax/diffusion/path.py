"""The straight path of rectified flow (arXiv 2209.03003) with noise scale s: z = t·x + (1 - t)·s·ε.

Seen as y = z / t = x + σ·ε it is a canvas under noise of σ = (1 - t)·s / t, whose log-SNR is -2 log σ.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion.decision_order import DecisionOrder

MIN_TIME = 1e-4  # below it a canvas says nothing
_MIN_SIGMA = 1e-4  # below it nothing changes: the nearest colour is certain

Denoise = Callable[[Float[Array, "batch height width 3"], Float[Array, " batch"]], Float[Array, "batch height width 3"]]


def per_canvas(t: Float[AnyArray, " batch"]) -> Float[AnyArray, "batch 1 1 1"]:
    return t[:, None, None, None]


def noisy(
    x: Float[AnyArray, "batch height width 3"],
    noise: Float[AnyArray, "batch height width 3"],
    t: Float[AnyArray, " batch"],
    noise_scale: float | Num[Array, ""] = 1.0,
) -> Float[AnyArray, "batch height width 3"]:
    """The canvas at time t. `x` is in [-1, 1], `noise` is standard normal."""
    return per_canvas(t) * x + per_canvas(1 - t) * noise_scale * noise


def noisy_blocks(
    x: Float[AnyArray, "batch height width 3"],
    noise: Float[AnyArray, "batch height width 3"],
    t: Float[AnyArray, "batch blocks"],
    order: DecisionOrder,
    noise_scale: float = 1.0,
) -> tuple[Float[AnyArray, "batch height width 3"], Float[AnyArray, "batch cells"]]:
    """Text canvases whose blocks have times of their own, and the time of each cell. What is no cell stays clean."""
    block = order.block_of_pixel
    of_pixel = jnp.where(block >= 0, t[:, block], 1.0).reshape(*x.shape[:3], 1)
    return of_pixel * x + (1 - of_pixel) * noise_scale * noise, t[:, order.block_of_cell]


def time_at(log_snr: float | Float[AnyArray, "..."], noise_scale: float | Float[Array, ""]) -> Float[Array, "..."]:
    """The t at which the path has this log-SNR."""
    return jax.nn.sigmoid(0.5 * log_snr + jnp.log(noise_scale))


def sigma_at(t: Float[Array, "..."], noise_scale: float | Float[Array, ""]) -> Float[Array, "..."]:
    """σ of z / t, kept from what float32 cannot hold at both ends of time."""
    return jnp.maximum((1 - t) * noise_scale / jnp.maximum(t, MIN_TIME), _MIN_SIGMA)


def log_snr_at(t: Float[Array, "..."], noise_scale: float | Float[Array, ""]) -> Float[Array, "..."]:
    """The log-SNR of the path at t in (0, 1)."""
    return 2 * (jnp.log(t) - jnp.log1p(-t) - jnp.log(noise_scale))


def toward(
    z: Float[Array, "batch height width 3"],
    x_hat: Float[Array, "batch height width 3"],
    t: Float[Array, " batch"],
    t_next: Float[Array, " batch"],
) -> Float[Array, "batch height width 3"]:
    """Along the straight line from z at t to x̂ at time 1, as far as t_next; there x̂ itself when that is 1.

    It is a step with the path's velocity (x̂ - z) / (1 - t), and the same as DDIM's (arXiv 2010.02502).
    """
    weight = per_canvas((t_next - t) / (1 - t))
    return (1 - weight) * z + weight * x_hat


def back(
    z: Float[Array, "batch height width 3"],
    noise: Float[Array, "batch height width 3"],
    t: Float[Array, " batch"],
    t_back: Float[Array, " batch"],
    noise_scale: float | Float[Array, ""] = 1.0,
) -> Float[Array, "batch height width 3"]:
    """A canvas of time t made as noisy as those of an earlier time, by fresh standard normal noise.

    q(z_back | z) of the path: y = z / t gets what its variance σ² lacks to that of t_back.
    """
    scale = t_back / t
    missing = jnp.square((1 - t_back) * noise_scale) - jnp.square(scale * (1 - t) * noise_scale)
    return per_canvas(scale) * z + per_canvas(jnp.sqrt(jnp.maximum(missing, 0.0))) * noise

"""From noise to a clean canvas, in one scan.

The path's velocity is (x̂ - z) / (1 - t), so an Euler step from t to t' is a blend of z and x̂ whose weight reaches one
at t' = 1: every sampler here ends on the clean prediction itself, and no floor of 1 - t limits how close it comes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pixjax.diffusion.path import noisy

Denoise = Callable[[Float[Array, "batch height width 3"], Float[Array, " batch"]], Float[Array, "batch height width 3"]]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pinned:
    """Pixels whose clean value is known; the rest is generated around them."""

    canvas: Float[Array, "batch height width 3"]
    mask: Bool[Array, "batch height width"]

    def impose(self, z: Float[Array, "batch height width 3"], clean_z) -> Float[Array, "batch height width 3"]:
        return jnp.where(self.mask[..., None], clean_z, z)


def uniform_grid(steps: int) -> Float[Array, " steps_plus_one"]:
    """Times from 0 to 1, both included."""
    return jnp.linspace(0.0, 1.0, steps + 1)


def sample(
    denoise: Denoise,
    noise: Float[Array, "batch height width 3"],
    *,
    sampler: str,
    steps: int,
    noise_scale: float = 1.0,
    pinned: Pinned | None = None,
) -> Float[Array, "batch height width 3"]:
    """Solve the probability-flow equation from t = 0 to t = 1.

    Args:
      denoise: (z, t) to the clean prediction.
      noise: standard normal.
      sampler: `euler` (one evaluation a step) or `heun` (two, second order; the last step is Euler's).
      steps: at least 1.
      pinned: pixels that follow the path of their known value and come back exactly.

    Returns:
      The clean canvases, about [-1, 1], not clipped.
    """
    batch = noise.shape[0]

    def along(z, t):
        """z with the pinned pixels where the path has them at time t."""
        if pinned is None:
            return z
        return pinned.impose(z, noisy(pinned.canvas, noise, jnp.full(batch, t), noise_scale))

    def euler(z, x_hat, t, t_next):
        return along(z + (t_next - t) / (1 - t) * (x_hat - z), t_next)

    def step(z, times):
        t, t_next = times
        x_hat = denoise(z, jnp.full(batch, t))
        z_euler = euler(z, x_hat, t, t_next)
        if sampler == "euler":
            return z_euler, None
        velocity = (x_hat - z) / (1 - t)
        velocity_next = (denoise(z_euler, jnp.full(batch, t_next)) - z_euler) / (1 - t_next)
        return along(z + (t_next - t) * 0.5 * (velocity + velocity_next), t_next), None

    grid = uniform_grid(steps)
    z, _ = jax.lax.scan(step, along(noise_scale * noise, 0.0), (grid[:-2], grid[1:-1]))
    last = grid[-2]
    return euler(z, denoise(z, jnp.full(batch, last)), last, 1.0)

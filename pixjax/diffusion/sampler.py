"""From noise to a clean canvas: the steps of a sampler in one scan."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion.path import back
from pixjax.diffusion.steps import DETERMINISTIC, Predict, State, stochastic
from pixjax.diffusion.time_grid import ahead


class Repeats(NamedTuple):
    """How often each stretch of the way is walked, and how many steps a stretch has."""

    times: int
    stretch: int


ONCE = Repeats(times=1, stretch=1)


class Frames(NamedTuple):
    """Clean predictions of some steps, and the times that they were made at."""

    x_hat: Float[Array, "frames batch height width 3"]
    t: Float[Array, "frames batch"]


def sample(
    predict: Predict,
    keys: Array,
    grid: Float[AnyArray, "steps_plus_one batch"],
    shape: tuple[int, int, int],
    *,
    sampler: str,
    noise_scale: float | Float[Array, ""] = 1.0,
    churn: float | Float[Array, ""] = 0.0,
    asymmetry: float | Float[Array, ""] = 0.0,
    repeats: Repeats = ONCE,
    frames: Int[Array, " frames"] | Sequence[int] = (),
) -> tuple[Float[Array, "batch height width 3"], Frames]:
    """Canvases that start as pure noise at t = 0 and end as the last clean prediction.

    Args:
      predict: (z, t, the prediction before) to the clean prediction.
      keys: a random key for each canvas [batch], of which all its noise is made.
      grid: the times of each canvas, from 0 to 1.
      shape: height, width, 3.
      sampler: `euler` or `dpm++` (one prediction a step), `heun` (two), or `stochastic` (one).
      churn: of the stochastic sampler, from 0 (Euler) to 1 (ancestral).
      asymmetry: share of a step by which canvases run ahead of the time the network is told; 0 for `heun`.
      repeats: each stretch is walked so many times, made as noisy as at its start in between: RePaint's resampling.
      frames: steps, from 0, whose clean prediction is kept.

    Returns:
      The clean canvases, about [-1, 1], not clipped, and the predictions of the chosen steps.
    """
    plan = _plan(len(grid) - 1, repeats)
    grid = jnp.asarray(grid)
    targets = ahead(grid, asymmetry)
    chosen = jnp.asarray(frames, jnp.int32)

    def noise(number: Int[Array, ""] | int) -> Float[Array, "batch height width 3"]:
        """The number-th noise of every canvas."""
        return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), shape))(keys)

    def one_step(carry: tuple[State, Frames], now) -> tuple[tuple[State, Frames], None]:
        (state, kept), (number, step, leads_to) = carry, now
        t, t_next = grid[step], targets[step]
        if sampler == "stochastic":
            fresh = noise(2 * number + 1)
            state = stochastic(predict, state, t, t_next, fresh, churn=churn, noise_scale=noise_scale)
        else:
            state = DETERMINISTIC[sampler](predict, state, t, t_next)
        if repeats.times > 1:
            t_back = jnp.where(leads_to > step, t_next, grid[leads_to])
            z = back(state.z, noise(2 * number + 2), t_next, t_back, noise_scale)
            state = State(z=z, x_hat=state.x_hat, t_of_x_hat=state.t_of_x_hat)

        def keep(new: Array, old: Array) -> Array:
            return jnp.where((chosen == step).reshape(-1, *[1] * new.ndim), new, old)

        return (state, jax.tree.map(keep, Frames(x_hat=state.x_hat, t=state.t_of_x_hat), kept)), None

    start = State.start(noise_scale * noise(0))
    none_kept = Frames(*(jnp.zeros((len(chosen), *a.shape), a.dtype) for a in (start.x_hat, start.t_of_x_hat)))
    walk = (jnp.arange(len(plan)), *jnp.asarray(plan).T)
    (state, kept), _ = jax.lax.scan(one_step, (start, none_kept), walk)
    return state.z, kept


def _plan(steps: int, repeats: Repeats) -> Int[np.ndarray, "walked 2"]:
    """The steps in the order in which they are walked, and for each the one that begins where it leads."""
    plan: list[tuple[int, int]] = []
    for first in range(0, steps, repeats.stretch):
        last = min(first + repeats.stretch, steps) - 1
        stretch = [(step, step + 1) for step in range(first, last + 1)]
        plan += [*stretch[:-1], (last, first)] * (repeats.times - 1) + stretch
    return np.array(plan, np.int32)

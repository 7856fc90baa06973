"""From noise to a clean canvas: one step of each sampler as a pure function, and the scan that takes them.

Every step ends on the clean prediction itself where t_next is 1, so that no floor of 1 - t limits how close it comes.
Times are given for each canvas.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion.path import back, per_canvas, toward
from pixjax.diffusion.time_grid import ahead

# (z, t, the clean prediction before this one) to the clean prediction.
Predict = Callable[
    [Float[Array, "batch height width 3"], Float[Array, " batch"], Float[Array, "batch height width 3"]],
    Float[Array, "batch height width 3"],
]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """A canvas on its way, and the last clean prediction: zeros, of time 0, before the first."""

    z: Float[Array, "batch height width 3"]
    x_hat: Float[Array, "batch height width 3"]
    t_of_x_hat: Float[Array, " batch"]

    @classmethod
    def start(cls, z: Float[Array, "batch height width 3"]) -> "State":
        return cls(z=z, x_hat=jnp.zeros_like(z), t_of_x_hat=jnp.zeros(len(z), z.dtype))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fresh:
    """What a step may draw anew: noise of its own, for each canvas."""

    noise: Callable[[], Float[Array, "batch height width 3"]]
    churn: float | Float[Array, ""]  # share of the noise
    noise_scale: float | Float[Array, ""]


def euler(
    predict: Predict, state: State, t: Float[Array, " batch"], t_next: Float[Array, " batch"], fresh: Fresh
) -> State:
    """First order, one prediction."""
    x_hat = predict(state.z, t, state.x_hat)
    return State(z=toward(state.z, x_hat, t, t_next), x_hat=x_hat, t_of_x_hat=t)


def heun(
    predict: Predict, state: State, t: Float[Array, " batch"], t_next: Float[Array, " batch"], fresh: Fresh
) -> State:
    """Second order, two predictions: the mean of the velocities at both ends (arXiv 2206.00364, Algorithm 1).

    There is no velocity at time 1: the step that ends there is Euler's.
    """
    first = euler(predict, state, t, t_next, fresh)

    def corrected() -> State:
        x_hat = predict(first.z, t_next, first.x_hat)
        velocity = (first.x_hat - state.z) / per_canvas(1 - t)
        velocity_next = (x_hat - first.z) / per_canvas(1 - t_next)
        z = state.z + per_canvas(t_next - t) * 0.5 * (velocity + velocity_next)
        return State(z=z, x_hat=x_hat, t_of_x_hat=t_next)

    return jax.lax.cond(jnp.all(t_next < 1), corrected, lambda: first)


def dpm_solver(
    predict: Predict, state: State, t: Float[Array, " batch"], t_next: Float[Array, " batch"], fresh: Fresh
) -> State:
    """DPM-Solver++(2M) (arXiv 2211.01095, Algorithm 2): second order, one prediction.

    Euler's step toward a prediction that is extrapolated from this one and the one before, linearly in the log-SNR, to
    the middle of the step. Where either end of the two steps is at infinity there is nothing to extrapolate over.
    """
    x_hat = predict(state.z, t, state.x_hat)
    before = state.t_of_x_hat
    possible = (before > 0) & (before < t) & (t_next < 1)  # not after the canvas was made noisier again

    def half_log_snr(time):
        inside = jnp.where(possible, time, 0.5)
        return jnp.log(inside) - jnp.log1p(-inside)

    step, step_before = half_log_snr(t_next) - half_log_snr(t), half_log_snr(t) - half_log_snr(before)
    share = jnp.where(possible, 0.5 * step / jnp.where(possible, step_before, 1.0), 0.0)
    extrapolated = x_hat + per_canvas(share) * (x_hat - state.x_hat)
    return State(z=toward(state.z, extrapolated, t, t_next), x_hat=x_hat, t_of_x_hat=t)


def stochastic(
    predict: Predict, state: State, t: Float[Array, " batch"], t_next: Float[Array, " batch"], fresh: Fresh
) -> State:
    """Euler's step, in which a part of the noise is drawn anew; first order.

    DDIM's η (arXiv 2010.02502, equation 16) is `churn`: with 0 it is Euler's step, with 1 it is ancestral sampling,
    which draws from q(z_next | z, x̂). In the frame of y = z / t = x + σ·ε the step leaves
    y_next = x̂ + √(σ_next² - σ_new²) / σ · (y - x̂) + σ_new·noise, σ_new = η·σ_next·√(1 - σ_next² / σ²): the noise that
    is taken too far out and added again, as EDM's sampler does (arXiv 2206.00364, Algorithm 2).
    """
    x_hat = predict(state.z, t, state.x_hat)
    sigma_ratio = (1 - t_next) * t / (t_next * (1 - t))  # 0 when either end of the step is at infinity
    new = jnp.square(fresh.churn) * (1 - jnp.square(sigma_ratio))  # share of the variance
    old_noise = (state.z - per_canvas(t) * x_hat) / per_canvas(1 - t)
    new_noise = fresh.noise_scale * fresh.noise()
    mixed = per_canvas(jnp.sqrt(1 - new)) * old_noise + per_canvas(jnp.sqrt(new)) * new_noise
    return State(z=per_canvas(t_next) * x_hat + per_canvas(1 - t_next) * mixed, x_hat=x_hat, t_of_x_hat=t)


class Sampler(NamedTuple):
    """A step, how many predictions it takes (the last step of a sampler takes one), and what to say of it."""

    step: Callable[[Predict, State, Float[Array, " batch"], Float[Array, " batch"], Fresh], State]
    predictions: int
    order: int
    about: str


# By the values of `sampling.sampler`: the tests hold the config and the table of `docs/sampling.md` against it.
SAMPLERS = {
    "heun": Sampler(heun, 2, 2, "the default, as in JiT and EDM"),
    "euler": Sampler(euler, 1, 1, "DDIM"),
    "dpm++": Sampler(
        dpm_solver, 1, 2, "DPM-Solver++(2M); of less on a grid uniform in t, whose ends are infinitely long in log-SNR"
    ),
    "stochastic": Sampler(
        stochastic, 1, 1, "`--churn` is the share of noise drawn anew: DDIM's η, 0 is `euler`, 1 is ancestral"
    ),
}


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
      sampler: one of `SAMPLERS`.
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
        fresh = Fresh(noise=lambda: noise(2 * number + 1), churn=churn, noise_scale=noise_scale)
        state = SAMPLERS[sampler].step(predict, state, t, t_next, fresh)
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

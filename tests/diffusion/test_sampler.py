"""Samplers against denoisers whose answer is known: a canvas, a set of canvases, a mixture of Gaussians."""

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from pixjax.diffusion import Repeats, sample, time_grid
from pixjax.diffusion.path import per_canvas
from pixjax.diffusion.sampler import SAMPLERS
from pixjax.sampling.request import SAMPLERS as KNOWN

GRIDS = ("uniform", "log_snr", "edm")
SHAPE = (8, 8, 3)
KEYS = jax.random.split(jax.random.key(0), 3)


@functools.partial(jax.jit, static_argnums=(0, 3), static_argnames=("sampler", "asymmetry", "repeats", "frames"))
def walk(denoise, keys, times, shape, **options):
    """`sample` with a denoiser that looks at (z, t) alone."""
    return sample(lambda z, t, _: denoise(z, t), keys, times, shape, **options)


def run(denoise, sampler, grid, steps, *, keys=KEYS, shape=SHAPE, churn=0.7, noise_scale=1.0, **options):
    """With one grid for all canvases."""
    times = jnp.tile(time_grid(grid, steps, noise_scale)[:, None], (1, len(keys)))
    return walk(denoise, keys, times, shape, sampler=sampler, churn=churn, noise_scale=noise_scale, **options)


def noise_of(keys, shape=SHAPE):
    """What a walk starts from."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 0), shape))(keys)


X = np.random.default_rng(1).uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
CANVASES = np.random.default_rng(2).choice(np.float32([-1, 1]), (5, *SHAPE))


def perfect_denoiser(z, t):
    return jnp.asarray(X)


def set_denoiser(z, t):
    """E[x | z] when x is one of some canvases, each as probable as the others."""
    z_on_path = per_canvas(t)[:, None] * CANVASES[None]
    distance = jnp.sum(jnp.square(z[:, None] - z_on_path), axis=(2, 3, 4))
    weight = jax.nn.softmax(-0.5 * distance / jnp.square(1 - t)[:, None], axis=-1)
    return jnp.tensordot(weight, CANVASES, axes=1)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfect_denoiser_is_reached_at_any_number_of_steps(sampler, steps):
    for grid in GRIDS:
        out, _ = run(perfect_denoiser, sampler, grid, steps, noise_scale=2.0)
        np.testing.assert_allclose(out, X, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_of_a_set_of_canvases_one_is_reached_and_each_sometimes(sampler):
    keys = jax.random.split(jax.random.key(3), 40)
    for grid in GRIDS:
        out, _ = run(set_denoiser, sampler, grid, 9, keys=keys)
        nearest = jnp.argmin(jnp.sum(jnp.square(out[:, None] - CANVASES[None]), axis=(2, 3, 4)), axis=1)
        np.testing.assert_allclose(out, CANVASES[nearest], atol=1e-5)
        assert set(nearest.tolist()) == set(range(5))


# A mixture of two Gaussians, each value of a canvas drawn by itself.
WEIGHT, MEANS, STD = (0.3, 0.7), (-0.6, 0.4), 0.25


def mixture_denoiser(z, t):
    """E[x | z]: the means of the components given z, weighted by how probable they are then."""
    t = per_canvas(t)
    variance = jnp.square(t * STD) + jnp.square(1 - t)
    logits = [math.log(w) - 0.5 * jnp.square(z - t * m) / variance for w, m in zip(WEIGHT, MEANS, strict=True)]
    means = [m + t * STD**2 / variance * (z - t * m) for m in MEANS]
    return jnp.sum(jax.nn.softmax(jnp.stack(logits), axis=0) * jnp.stack(means), axis=0)


def mixture_cdf(x):
    return sum(w * norm.cdf((x - m) / STD) for w, m in zip(WEIGHT, MEANS, strict=True))


def mixture_flow(noise):
    """Where the exact flow takes noise: in one dimension it keeps the order, so quantiles go to quantiles."""
    x = np.linspace(-2.5, 2.5, 20_001)
    return np.interp(norm.cdf(noise), mixture_cdf(x), x)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - {"stochastic"}))  # its noise hides the order
def test_order_of_convergence(sampler):
    """Against the exact flow, as the number of steps is doubled."""
    grid, order = "log_snr" if sampler == "dpm++" else "uniform", SAMPLERS[sampler].order
    exact = mixture_flow(noise_of(KEYS))
    errors = [float(jnp.abs(run(mixture_denoiser, sampler, grid, steps)[0] - exact).mean()) for steps in (20, 40)]
    assert order - 0.3 < np.log2(errors[0] / errors[1]) < order + 0.3
    assert errors[1] < {1: 0.03, 2: 0.002}[order]


def test_noise_that_is_drawn_anew_leaves_the_distribution_as_it_is():
    keys = jax.random.split(jax.random.key(4), 40)
    made = {
        churn: run(mixture_denoiser, "stochastic", "log_snr", 60, keys=keys, churn=churn)[0] for churn in (0.0, 1.0)
    }
    assert float(jnp.abs(made[1.0] - made[0.0]).mean()) > 0.1  # other canvases
    for out in made.values():  # of the same law: the greatest distance of the distribution functions, of 7,680 values
        values = np.sort(np.asarray(out).ravel())
        assert np.abs(np.arange(len(values)) / len(values) - mixture_cdf(values)).max() < 0.03


def test_without_churn_the_stochastic_sampler_is_euler():
    calm, _ = run(mixture_denoiser, "stochastic", "uniform", 20, churn=0.0)
    np.testing.assert_allclose(calm, run(mixture_denoiser, "euler", "uniform", 20)[0], atol=1e-5)


def test_each_canvas_has_its_own_grid_and_its_own_noise():
    grids = np.stack([time_grid(grid, 9, 1.0) for grid in GRIDS], axis=1)
    together, _ = walk(mixture_denoiser, KEYS, grids, SHAPE, sampler="dpm++", churn=0.0, noise_scale=1.0)
    for index, grid in enumerate(GRIDS):
        alone, _ = run(mixture_denoiser, "dpm++", grid, 9, keys=KEYS[index : index + 1], churn=0.0)
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


def still_denoiser(z, t):
    """Black until the last step, which shows the canvas that it was given."""
    return jnp.where(per_canvas(t) > 0.4, z, 0.0)


@pytest.mark.parametrize(("asymmetry", "left"), [(0.0, 0.5), (0.5, 0.25), (1.0, 0.0)])
def test_canvases_run_ahead_of_what_the_network_is_told(asymmetry, left):
    """Two steps: at the second the network is told t = 0.5, and less noise may be left."""
    out, _ = run(still_denoiser, "euler", "uniform", 2, asymmetry=asymmetry)
    np.testing.assert_allclose(out, left * noise_of(KEYS), atol=1e-6)


def test_noise_scale_sets_where_the_path_begins():
    out, _ = run(lambda z, t: z, "euler", "uniform", 1, noise_scale=2.0)  # one step: the denoiser sees the start
    np.testing.assert_allclose(out, 2.0 * noise_of(KEYS), rtol=1e-6)


def test_frames_are_the_predictions_of_their_steps_and_the_last_is_the_canvas():
    out, frames = run(lambda z, t: jnp.broadcast_to(per_canvas(t), z.shape), "euler", "uniform", 8, frames=(0, 3, 7))
    np.testing.assert_allclose(frames.x_hat[:, 0, 0, 0, 0], [0, 3 / 8, 7 / 8])
    np.testing.assert_allclose(frames.t[:, 1], [0, 3 / 8, 7 / 8])
    np.testing.assert_array_equal(frames.x_hat[-1], out)


def test_a_stretch_that_is_repeated_is_walked_from_as_much_noise_as_before():
    """RePaint's resampling: the distribution is what it was, the canvas another one."""
    keys = jax.random.split(jax.random.key(4), 40)
    once, again = (
        run(mixture_denoiser, "euler", "log_snr", 30, keys=keys, repeats=Repeats(times, 10))[0] for times in (1, 3)
    )
    values = np.sort(np.asarray(again).ravel())
    assert np.abs(np.arange(len(values)) / len(values) - mixture_cdf(values)).max() < 0.03
    assert float(jnp.abs(again - once).mean()) > 0.1


def test_the_config_and_the_page_on_sampling_name_every_sampler():
    assert tuple(SAMPLERS) == KNOWN
    rows = [f"| `{name}` | {s.predictions} | {s.order} | {s.about} |" for name, s in SAMPLERS.items()]
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "sampling.md"
    assert [line for line in page.read_text().splitlines() if line.startswith("| `")][1:] == rows


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_takes_as_many_predictions_as_it_says(sampler):
    """All its steps but the last, which takes one."""
    counted = []
    jax.jit(lambda: run(lambda z, t: jax.debug.callback(lambda: counted.append(1)) or z, sampler, "uniform", 5))()
    jax.effects_barrier()
    assert len(counted) == 4 * SAMPLERS[sampler].predictions + 1

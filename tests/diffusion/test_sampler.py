"""Samplers against denoisers whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.diffusion import Pinned, sample

SHAPE = (3, 4, 4, 3)
NOISE = jax.random.normal(jax.random.key(0), SHAPE)


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_perfect_denoiser_is_reached_exactly(sampler, steps):
    x = jax.random.uniform(jax.random.key(1), SHAPE, minval=-1.0)
    out = sample(lambda z, t: x, NOISE, sampler=sampler, steps=steps)
    np.testing.assert_allclose(out, x, atol=1e-5)


def gaussian_denoiser(std: float):
    """E[x | z] for x ~ N(0, std²) per value: t·std² / (t²·std² + (1-t)²) · z."""

    def denoise(z, t):
        t = t[:, None, None, None]
        return t * std**2 / (t**2 * std**2 + (1 - t) ** 2) * z

    return denoise


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_order_of_convergence(sampler, order):
    """The exact flow of a Gaussian maps noise ε to std·ε."""
    errors = []
    for steps in (32, 64):
        out = sample(gaussian_denoiser(0.5), NOISE, sampler=sampler, steps=steps)
        errors.append(float(jnp.abs(out - 0.5 * NOISE).max()))
    assert order - 0.35 < np.log2(errors[0] / errors[1]) < order + 0.6


def test_pinned_pixels_come_back_exactly_and_steer_the_rest():
    known = jnp.full(SHAPE, 0.25)
    mask = jnp.zeros(SHAPE[:3], bool).at[:, 0, 0].set(True)
    seen = []

    def denoise(z, t):
        seen.append(z.shape)
        return jnp.broadcast_to(jnp.where(t[:, None] > 0.5, z[:, 0, 0] / t[:, None], 0.0)[:, None, None], z.shape)

    out = sample(denoise, NOISE, sampler="euler", steps=50, pinned=Pinned(canvas=known, mask=mask))
    np.testing.assert_array_equal(out[:, 0, 0], known[:, 0, 0])
    assert np.abs(out[:, 1:] - 0.25).max() < 0.1  # the denoiser copies what it reads off the pinned pixel


def test_noise_scale_sets_where_the_path_begins():
    out = sample(
        lambda z, t: z, NOISE, sampler="euler", steps=1, noise_scale=2.0
    )  # one step: the denoiser sees the start
    np.testing.assert_allclose(out, 2.0 * NOISE, rtol=1e-6)

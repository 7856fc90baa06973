"""The loss and the times it is taken at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.config import TimeConfig
from pixjax.diffusion import denoising_loss, noisy, sample_times, time_law
from pixjax.errors import InputError


def test_v_loss_is_the_error_of_the_velocity():
    keys = jax.random.split(jax.random.key(0), 3)
    x, x_hat, noise = (jax.random.normal(k, (2, 4, 4, 3)) for k in keys)
    t = jnp.array([0.2, 0.9])
    z = noisy(x, noise, t)
    rest = (1 - t)[:, None, None, None]
    velocity_error = jnp.mean(jnp.square((x_hat - z) / rest - (x - z) / rest), axis=(1, 2, 3))
    loss, mse = denoising_loss(x_hat, x, t, jnp.ones((2, 4, 4), bool), kind="v", t_eps=0.05)
    np.testing.assert_allclose(loss, velocity_error, rtol=1e-4)
    np.testing.assert_allclose(mse, jnp.mean(jnp.square(x_hat - x), axis=(1, 2, 3)), rtol=1e-5)


def test_t_eps_bounds_the_weight():
    x = jnp.zeros((1, 2, 2, 3))
    loss, _ = denoising_loss(x + 1, x, jnp.array([0.999]), jnp.ones((1, 2, 2), bool), kind="v", t_eps=0.05)
    np.testing.assert_allclose(loss, 400.0, rtol=1e-5)


def test_masked_pixels_do_not_count():
    x = jnp.zeros((1, 2, 2, 3))
    x_hat = x.at[0, 0, 0].set(2.0).at[0, 1, 1].set(100.0)
    mask = jnp.ones((1, 2, 2), bool).at[0, 1, 1].set(False)
    loss, _ = denoising_loss(x_hat, x, jnp.array([0.5]), mask, kind="x", t_eps=0.05)
    np.testing.assert_allclose(loss, 4.0 / 3, rtol=1e-6)


def test_noise_scale_multiplies_the_noise():
    x, noise = jnp.zeros((1, 1, 1, 3)), jnp.ones((1, 1, 1, 3))
    np.testing.assert_allclose(noisy(x, noise, jnp.array([0.25]), 2.0), 1.5)


def test_each_modality_draws_from_its_own_law():
    modality = jnp.arange(20_000) % 2
    t = sample_times(jax.random.key(0), modality, TimeConfig(text="logit_normal:2:0.5", image="uniform"))
    text = jax.scipy.special.logit(t[modality == 0])
    assert abs(text.mean() - 2.0) < 0.02
    assert abs(text.std() - 0.5) < 0.02
    assert abs(t[modality == 1].std() - 12**-0.5) < 0.01


@pytest.mark.parametrize("text", ["normal", "logit_normal:1", "logit_normal:a:b", "logit_normal:0:0", "uniform:1"])
def test_unknown_time_laws_are_refused(text):
    with pytest.raises(InputError, match="write uniform, or logit_normal"):
        time_law(text)

"""The loss and the times it is taken at."""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.config import DiffusionConfig, TimeConfig
from pixjax.diffusion import denoising_loss, noisy, reading_loss, sample_times, time_law
from pixjax.diffusion.loss import WEIGHTS
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


def test_the_config_names_every_loss():
    assert get_args(get_type_hints(DiffusionConfig)["loss"]) == tuple(WEIGHTS)


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


def test_log_sigma_is_the_law_of_the_noise_of_a_canvas():
    """EDM's: log σ is normal, where σ = (1 - t)·s / t."""
    t = time_law("log_sigma:-0.8:1.6", noise_scale=2.0).sample(jax.random.key(0), (20_000,))
    log_sigma = jnp.log((1 - t) * 2.0 / t)
    assert abs(log_sigma.mean() + 0.8) < 0.04
    assert abs(log_sigma.std() - 1.6) < 0.03


def test_log_snr_is_uniform_between_its_ends():
    t = time_law("log_snr:-3:2", noise_scale=2.0).sample(jax.random.key(0), (20_000,))
    log_snr = -2 * jnp.log((1 - t) * 2.0 / t)
    counts, _ = np.histogram(log_snr, np.linspace(-3, 2, 6))
    assert counts.sum() == 20_000
    np.testing.assert_allclose(counts, 4000, rtol=0.05)


def test_reading_costs_what_the_painted_ids_were_thought_of():
    log_probs = jnp.log(jnp.array([[[0.5, 0.5], [0.9, 0.1]], [[0.2, 0.8], [1.0, 0.0]]]))
    counted = jnp.array([[True, True], [True, False]])
    loss = reading_loss(log_probs, jnp.array([[0, 1], [1, 1]]), counted)
    np.testing.assert_allclose(loss, [-np.log(0.5 * 0.1) / 2, -np.log(0.8)], rtol=1e-6)


UNKNOWN = ["normal", "logit_normal:1", "logit_normal:a:b", "logit_normal:0:0", "uniform:1", "log_snr:2:1", "log_snr:1"]


@pytest.mark.parametrize("text", UNKNOWN)
def test_unknown_time_laws_are_refused(text):
    with pytest.raises(InputError, match="write uniform, logit_normal:MEAN:STD"):
        time_law(text)

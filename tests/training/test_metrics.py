"""Sums and counts add up to averages, apart by modality and time."""

import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.training.metrics import add_up, averages, denoising_metrics

ALL = {
    "loss": jnp.array([1.0, 2.0, 3.0, 6.0]),
    "mse": jnp.array([0.1, 0.2, 0.3, 0.6]),
    "correct": jnp.array([5.0, 0.0, 1.0, 0.0]),
    "tokens": jnp.array([10.0, 10.0, 2.0, 10.0]),
    "t": jnp.array([0.05, 0.05, 0.95, 1.0]),
    "modality": jnp.array([0, 1, 0, 1]),
}


def test_averages_by_modality_and_time():
    found = averages(add_up({}, [denoising_metrics(**ALL)]))
    assert found["loss"] == pytest.approx(3.0)
    assert found["loss/text"] == pytest.approx(2.0)
    assert found["loss/image"] == pytest.approx(4.0)
    assert found["x_mse/text/t0.0"] == pytest.approx(0.1)
    assert found["x_mse/text/t0.9"] == pytest.approx(0.3)
    assert found["x_mse/image/t0.9"] == pytest.approx(0.6)  # t = 1 is in the last bin
    assert found["token_accuracy/text"] == pytest.approx(6 / 12)  # of tokens, not of canvases


def test_what_did_not_occur_is_left_out_rather_than_zero():
    text = {name: values[:1] for name, values in ALL.items()}
    found = averages(add_up({}, [denoising_metrics(**text)]))
    assert "loss/image" not in found
    assert "x_mse/text/t0.5" not in found


def test_a_window_is_the_average_of_its_canvases_however_they_are_spread():
    parts = [denoising_metrics(**{n: v[s] for n, v in ALL.items()}) for s in (slice(0, 1), slice(1, 4))]
    whole, split = averages(add_up({}, [denoising_metrics(**ALL)])), averages(add_up({}, parts))
    assert whole.keys() == split.keys()
    np.testing.assert_allclose(list(whole.values()), list(split.values()), rtol=1e-6)

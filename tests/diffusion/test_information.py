"""The adaptive law of t: it finds where information is, keeps to its bounds, and forgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import IMAGE, TEXT
from pixjax.config import TimeConfig
from pixjax.diffusion import no_information, remember, sample_times, seen_information
from pixjax.diffusion.path import log_snr_at, time_at

NOISE_SCALE = 2.0
LAW = TimeConfig(text="adaptive:-6:10", image="log_snr:-4:0")
TEXTS = jnp.full(20_000, TEXT)


def log_snrs(information, modality=TEXTS, seed=0):
    t = sample_times(jax.random.key(seed), modality, LAW, NOISE_SCALE, information)
    return np.asarray(log_snr_at(t, NOISE_SCALE))


def learned(centre: float, updates: int, information):
    """As of a network whose information is a bell of width 1 around a log-SNR."""
    for update in range(updates):
        log_snr = log_snrs(information, TEXTS[:256], update)
        t, mse = time_at(log_snr, NOISE_SCALE), 2 * np.exp(-log_snr - 0.5 * (log_snr - centre) ** 2)
        seen = seen_information(LAW, jnp.asarray(mse), t, TEXTS[:256], NOISE_SCALE)
        information = remember(information, seen)
    return information


def test_before_anything_is_seen_it_is_even_between_its_bounds():
    found = log_snrs(no_information(LAW))
    assert (found.min(), found.max()) == pytest.approx((-6, 10), abs=0.01)
    assert np.histogram(found, 8, (-6, 10))[0] == pytest.approx(np.full(8, 2500), rel=0.1)


def test_it_goes_where_the_information_is_and_leaves_no_place_out():
    found = log_snrs(learned(2.0, 60, no_information(LAW)))
    near = found[np.abs(found - 2) < 3]
    assert (near.mean(), near.std()) == pytest.approx((2.0, 1.0), abs=0.1)
    assert 0.02 < np.mean(np.abs(found - 2) > 4) < 0.06
    assert np.histogram(found, 16, (-6, 10))[0].min() > 20


def test_what_moved_is_found_again():
    moved = learned(-2.0, 300, learned(2.0, 60, no_information(LAW)))
    assert np.median(log_snrs(moved)) == pytest.approx(-2.0, abs=0.2)


def test_each_modality_keeps_its_own_law():
    """Images under another law teach this one nothing, and are drawn as ever."""
    assert no_information(LAW).keys() == {"text"}
    modality = jnp.tile(jnp.array([TEXT, IMAGE]), 4)
    t = time_at(jnp.full(8, 1.0), NOISE_SCALE)
    seen = seen_information(LAW, jnp.ones(8), t, modality, NOISE_SCALE)["text"]
    assert seen[1].sum() == 4
    assert seen[0].sum() == pytest.approx(4 * 0.5 * np.e, rel=1e-4)
    images = log_snrs(no_information(LAW), jnp.full(5000, IMAGE))
    assert (images.min(), images.max()) == pytest.approx((-4, 0), abs=0.01)

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


def learned(centre: float, updates: int, information, canvases=256):
    """As of a network whose information is a bell of width 1 around a log-SNR."""
    texts = TEXTS[:canvases]
    for update in range(updates):
        log_snr = log_snrs(information, texts, update)
        t, mse = time_at(log_snr, NOISE_SCALE), 2 * np.exp(-log_snr - 0.5 * (log_snr - centre) ** 2)
        information = remember(information, seen_information(LAW, jnp.asarray(mse), t, texts, NOISE_SCALE))
    return information


def test_before_anything_is_seen_it_is_even_between_its_bounds():
    found = log_snrs(no_information(LAW))
    assert (found.min(), found.max()) == pytest.approx((-6, 10), abs=0.01)
    assert np.histogram(found, 8, (-6, 10))[0] == pytest.approx(np.full(8, 2500), rel=0.1)


@pytest.mark.parametrize(("canvases", "updates"), [(8, 400), (256, 60)])
def test_it_goes_where_the_information_is_and_leaves_no_place_out(canvases, updates):
    found = log_snrs(learned(2.0, updates, no_information(LAW), canvases))
    near = found[np.abs(found - 2) < 3]
    assert (near.mean(), near.std()) == pytest.approx((2.0, 1.0), abs=0.2)
    assert 0.015 < np.mean(np.abs(found - 2) > 4) < 0.08  # the floor's are 0.025
    assert np.histogram(found, 16, (-6, 10))[0].min() > 20


def test_where_no_error_is_left_it_is_even():
    """A codebook is exact above the log-SNR at which its colours are told apart."""
    t = time_at(jnp.linspace(5.0, 9.0, 8), NOISE_SCALE)
    seen = seen_information(LAW, jnp.zeros(8), t, TEXTS[:8], NOISE_SCALE)
    found = log_snrs(remember(no_information(LAW), seen))
    assert np.histogram(found, 8, (-6, 10))[0] == pytest.approx(np.full(8, 2500), rel=0.1)


def test_what_moved_is_found_again():
    moved = learned(-2.0, 300, learned(2.0, 60, no_information(LAW)))
    assert np.median(log_snrs(moved)) == pytest.approx(-2.0, abs=0.2)


def test_each_modality_keeps_its_own_law():
    """Images under another law teach this one nothing, and are drawn as ever."""
    assert no_information(LAW).keys() == {"text"}
    modality = jnp.tile(jnp.array([TEXT, IMAGE]), 4)
    t = jnp.where(modality == TEXT, time_at(1.0, NOISE_SCALE), 1.0)
    seen = seen_information(LAW, jnp.where(modality == TEXT, 1.0, 0.0), t, modality, NOISE_SCALE)["text"]
    assert seen[1].sum() == 4
    assert seen[0].sum() == pytest.approx(4 * 0.5 * np.e, rel=1e-4)
    images = log_snrs(no_information(LAW), jnp.full(5000, IMAGE))
    assert (images.min(), images.max()) == pytest.approx((-4, 0), abs=0.01)

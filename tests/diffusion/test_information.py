"""The adaptive law of t: it finds where information is, keeps to its bounds, and forgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import IMAGE, TEXT
from pixjax.config import TimeConfig
from pixjax.diffusion import no_information, remember, require_measurable, sample_times, seen_information
from pixjax.diffusion.path import log_snr_at, time_at
from pixjax.errors import InputError

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
        t, mse = time_at(log_snr, NOISE_SCALE), np.exp(-log_snr - 0.5 * (log_snr - centre) ** 2)
        information = remember(information, seen_information(LAW, jnp.asarray(mse), t, texts == TEXT, NOISE_SCALE))
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
    """The posterior is exact above the log-SNR at which its colours are told apart."""
    t = time_at(jnp.linspace(5.0, 9.0, 8), NOISE_SCALE)
    seen = seen_information(LAW, jnp.zeros(8), t, TEXTS[:8] == TEXT, NOISE_SCALE)
    found = log_snrs(remember(no_information(LAW), seen))
    assert np.histogram(found, 8, (-6, 10))[0] == pytest.approx(np.full(8, 2500), rel=0.1)


def test_what_moved_is_found_again():
    moved = learned(-2.0, 300, learned(2.0, 60, no_information(LAW)))
    assert np.median(log_snrs(moved)) == pytest.approx(-2.0, abs=0.2)


def test_only_text_that_the_head_has_read_is_counted():
    """What a pixel head predicts, of text whose type is hidden or of images, teaches the law nothing."""
    t = jnp.full(8, time_at(6.0, NOISE_SCALE))
    is_read = jnp.arange(8) % 2 == 0
    seen = seen_information(LAW, jnp.where(is_read, 1e-3, 1.0), t, is_read, NOISE_SCALE)["text"]
    assert seen[1].sum() == 4
    assert seen[0].sum() == pytest.approx(4 * 0.5e-3 * np.exp(6), rel=1e-3)


def test_no_place_is_worth_more_than_the_noisy_canvas_costs():
    """Its error is e^-λ a dimension, and so the half of a nat is the most that there is to gain."""
    t = time_at(jnp.array([0.0, 9.0]), NOISE_SCALE)
    seen = seen_information(LAW, jnp.array([0.1, 1.0]), t, jnp.ones(2, bool), NOISE_SCALE)["text"]
    assert seen[0].max() == 0.5
    assert seen[0].sum() == pytest.approx(0.55)


def test_images_are_drawn_by_their_own_law():
    assert no_information(LAW).keys() == {"text"}
    assert no_information(TimeConfig(text="uniform")) == {}
    images = log_snrs(no_information(LAW), jnp.full(5000, IMAGE))
    assert (images.min(), images.max()) == pytest.approx((-4, 0), abs=0.01)


@pytest.mark.parametrize(
    ("law", "head", "words"),
    [
        ({"text": "adaptive:-6:10"}, False, "pixel head predicts this text: .*, or model.codebook_head=True"),
        ({"image": "adaptive:-6:14"}, True, "pixel head predicts this image: set logit_normal"),
    ],
)
def test_a_law_that_adapts_to_what_is_not_measured_is_refused(tiny_config, law, head, words):
    model = {"tagging": "condition", "text_condition": True, "codebook_head": head}
    with pytest.raises(InputError, match=words):
        require_measurable(tiny_config(model=model, codec={"marker": False}, diffusion={"time": law}))

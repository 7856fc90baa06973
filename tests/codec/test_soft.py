"""Soft decoding is Bayes' rule for a Gaussian channel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import CanvasCodec, to_float


def posterior(codec: CanvasCodec, x: np.ndarray, sigma: float, log_prior: np.ndarray) -> np.ndarray:
    """By definition, in float64, from the distance to every colour."""
    cells = x.reshape(-1, 3)[codec.cell_index].reshape(codec.capacity, 1, -1).astype(np.float64)
    colors = codec.colors.reshape(codec.vocab_size, -1).astype(np.float64)
    score = -((cells - colors) ** 2).sum(-1) / (2 * sigma**2) + log_prior
    score -= score.max(-1, keepdims=True)
    return np.exp(score) / np.exp(score).sum(-1, keepdims=True)


@pytest.mark.parametrize("code", ["radix:auto:1", "base256", "radix:auto:2:gray", "radix:2:4:permuted"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), sigma=st.sampled_from([0.01, 0.1, 1.0]), with_prior=st.booleans())
def test_it_is_the_posterior(code, seed, sigma, with_prior):
    codec = CanvasCodec("bytes", code, canvas_size=6)
    random = np.random.default_rng(seed)
    ids = random.integers(0, codec.vocab_size, (1, codec.capacity))
    x = to_float(codec.encode_ids(ids)) + sigma * random.normal(size=(1, 6, 6, 3))
    prior = np.log(random.dirichlet(np.full(codec.vocab_size, 0.3)) + 1e-9) if with_prior else None
    soft = codec.decode_soft(x.astype(np.float32), sigma, prior)
    assert soft.shape == (1, codec.capacity, codec.vocab_size)
    expected = posterior(codec, x, sigma, 0 if prior is None else prior)
    np.testing.assert_allclose(np.exp(soft[0]), expected, atol=2e-3)


def test_without_a_prior_the_most_probable_is_the_nearest():
    codec = CanvasCodec("bytes", canvas_size=16)
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    assert (codec.decode_soft(x, 0.5).argmax(-1) == codec.decode_ids(x)[0]).mean() > 0.999


def test_without_any_signal_it_is_the_prior():
    codec = CanvasCodec("chars27", canvas_size=8)
    prior = np.log(np.random.default_rng(0).dirichlet(np.ones(27)))
    soft = codec.decode_soft(np.zeros((1, 8, 8, 3), np.float32), 1e4, prior)
    np.testing.assert_allclose(soft, np.broadcast_to(prior, soft.shape), atol=1e-5)


def test_sigma_may_differ_between_canvases():
    codec = CanvasCodec("chars27", canvas_size=8)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    both = codec.decode_soft(x, np.array([0.1, 1.0], np.float32))
    for i, sigma in enumerate((0.1, 1.0)):
        np.testing.assert_allclose(both[i], codec.decode_soft(x[i], sigma), atol=1e-5)

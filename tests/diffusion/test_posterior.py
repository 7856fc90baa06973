"""Text canvases drawn toward legal colours while they are made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import CanvasCodec, to_float
from pixjax.diffusion import project

CODEC = CanvasCodec("chars27", "radix:3:1", canvas_size=8)
IDS = np.random.default_rng(0).integers(0, 27, (2, CODEC.capacity))
X = to_float(jnp.asarray(CODEC.encode_ids(IDS)))
X_HAT = X + 0.2 * jnp.asarray(np.random.default_rng(1).normal(size=X.shape), jnp.float32)


@jax.jit
def projected(t, *, start=0.5, strength=1.0, texts=(True, True)):
    numbers = {"noise_scale": 1.0, "start": start, "strength": strength}
    predict = project(lambda z, t, previous: X_HAT, CODEC, lambda x_hat: jnp.array(texts), **numbers)
    return predict(X, jnp.full(2, t), X)


def test_at_the_end_it_is_the_nearest_legal_colour():
    near, _ = CODEC.decode_ids(X_HAT)
    out = projected(0.98)
    np.testing.assert_allclose(out[:, 0, 1:], to_float(CODEC.encode_ids(near))[:, 0, 1:], atol=1e-4)
    np.testing.assert_array_equal(out[:, 0, 0], X_HAT[:, 0, 0])  # the marker is no cell


def test_it_is_the_mean_of_the_posterior_at_the_sigma_of_the_path():
    sigma = 0.4 / 0.6
    posterior = np.exp(CODEC.decode_soft(np.asarray(X_HAT), sigma))
    expected = posterior @ CODEC.colors.reshape(27, 3)
    found = projected(0.6).reshape(2, -1, 3)[:, CODEC.cell_index[:, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("t", "options"), [(0.4, {}), (0.9, {"strength": 0.0}), (0.9, {"texts": (False, False)})])
def test_what_is_early_or_no_text_stays_as_it_is(t, options):
    np.testing.assert_array_equal(projected(t, **options), X_HAT)


def test_the_strength_says_how_far():
    half, whole = projected(0.9, strength=0.5), projected(0.9)
    np.testing.assert_allclose(half, (X_HAT + whole) / 2, atol=1e-6)
    assert jnp.isfinite(projected(0.0, start=0.0)).all()

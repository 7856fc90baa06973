"""Known pixels come back exactly, and the rest agrees with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.diffusion import Known, Repeats, keep_known, sample, time_grid
from pixjax.diffusion.path import per_canvas
from pixjax.diffusion.sampler import SAMPLERS

SHAPE = (8, 8, 3)
CANVASES = jnp.sign(jax.random.normal(jax.random.key(0), (6, *SHAPE)))
KEYS = jax.random.split(jax.random.key(1), 60)
# Of each canvas one quarter is known.
WHICH = jnp.arange(len(KEYS)) % len(CANVASES)
KNOWN = Known(
    canvas=CANVASES[WHICH], mask=jnp.broadcast_to(jnp.zeros((8, 8), bool).at[:4, :4].set(True), (len(KEYS), 8, 8))
)


def predict(z, t, previous):
    """E[x | z] when x is one of a few canvases."""
    on_path = per_canvas(t)[:, None] * CANVASES[None]
    distance = jnp.sum(jnp.square(z[:, None] - on_path), axis=(2, 3, 4))
    return jnp.tensordot(jax.nn.softmax(-0.5 * distance / jnp.square(1 - t)[:, None], axis=-1), CANVASES, axes=1)


def fill_in(sampler, times):
    grid = np.tile(time_grid("log_snr", 20, 1.0)[:, None], (1, len(KEYS)))
    walk = jax.jit(
        lambda: sample(
            keep_known(predict, KNOWN), KEYS, grid, SHAPE, sampler=sampler, churn=1.0, repeats=Repeats(times, 1)
        )
    )
    return walk()[0]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_pixels_come_back_exactly(sampler):
    out = fill_in(sampler, times=2)
    np.testing.assert_array_equal(out[:, :4, :4], KNOWN.canvas[:, :4, :4])


def test_the_rest_agrees_with_what_is_known_and_more_often_when_stretches_are_repeated():
    """A quarter of a canvas tells which of the six it is; chance is one sixth."""
    once, often = (
        np.mean(np.abs(fill_in("stochastic", times) - KNOWN.canvas).max(axis=(1, 2, 3)) < 0.01) for times in (1, 5)
    )
    assert once > 1.5 / 6
    assert often > once + 0.2

"""Guidance away from what is predicted without a condition."""

import jax.numpy as jnp
import numpy as np

from pixjax.diffusion import guide

Z = jnp.zeros((2, 2, 2, 3))
CONDITIONS, WITHOUT = {"label": jnp.array([3, 7])}, {"label": jnp.array([-1, -1])}


def predict(z, t, previous, under):
    """The label itself, and what came before."""
    return previous + under["label"][:, None, None, None]


def test_the_difference_that_a_condition_makes_is_scaled():
    out = guide(predict, CONDITIONS, WITHOUT, scale=2.5)(Z, jnp.array([0.1, 0.9]), Z + 10.0)
    np.testing.assert_allclose(out[:, 0, 0, 0], [10 - 1 + 2.5 * 4, 10 - 1 + 2.5 * 8])


def test_outside_its_interval_only_the_condition_counts():
    guided = guide(predict, CONDITIONS, WITHOUT, scale=2.5, interval=(0.2, 0.8))
    for t, scales in (([0.1, 0.9], (1, 1)), ([0.2, 0.81], (2.5, 1)), ([0.5, 0.8], (2.5, 2.5))):
        out = guided(Z, jnp.array(t), Z)
        np.testing.assert_allclose(out[:, 0, 0, 0], [-1 + scales[0] * 4, -1 + scales[1] * 8])


def test_both_predictions_are_one_batch_of_twice_the_size():
    sizes = []

    def counted(z, t, previous, under):
        sizes.append((len(z), len(t), len(previous), len(under["label"])))
        return predict(z, t, previous, under)

    guide(counted, CONDITIONS, WITHOUT, scale=2.0)(Z, jnp.zeros(2), Z)
    assert sizes == [(4, 4, 4, 4)]

"""The learning rate over a run, what is decayed, and the averages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pixjax.config import TrainingConfig
from pixjax.training.optimizer import learning_rate_schedule, make_optimizer, update_ema


def test_warm_up_then_constant_or_cosine():
    constant = learning_rate_schedule(TrainingConfig(learning_rate=1.0, warmup_steps=10, steps=110))
    cosine = learning_rate_schedule(TrainingConfig(learning_rate=1.0, warmup_steps=10, steps=110, decay="cosine"))
    assert [float(constant(s)) for s in (0, 5, 10, 110)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert [float(cosine(s)) for s in (0, 5, 10, 60, 110)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0], abs=1e-6)


def test_only_kernels_are_decayed():
    params = {"dense": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "norm": {"scale": jnp.ones(2)}}
    optimizer = make_optimizer(TrainingConfig(weight_decay=0.05))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    new = optax.apply_updates(params, updates)
    np.testing.assert_allclose(new["dense"]["kernel"], 0.95)
    np.testing.assert_array_equal(new["dense"]["bias"], 1.0)
    np.testing.assert_array_equal(new["norm"]["scale"], 1.0)


def test_gradients_are_clipped_over_all_parameters_together():
    """Adam forgets the scale of a constant gradient, so the ratio of two steps shows the clipping."""
    params = {"kernel": jnp.zeros(1)}
    optimizer = make_optimizer(TrainingConfig(clip_norm=1.0))
    state = optimizer.init(params)
    _, state = optimizer.update({"kernel": jnp.array([100.0])}, state, params)
    moments = [leaf for leaf in jax.tree.leaves(state) if getattr(leaf, "shape", None) == (1,)]
    np.testing.assert_allclose(moments[0], 0.1 * 1.0, rtol=1e-5)  # (1 - beta1) times the clipped gradient


def test_the_average_warms_up_and_then_decays_as_told():
    early = update_ema({"w": 0.0}, {"w": 1.0}, jnp.array(0), 0.99)["w"]
    late = update_ema({"w": 0.0}, {"w": 1.0}, jnp.array(100_000), 0.99)["w"]
    assert float(early) == pytest.approx(0.9)
    assert float(late) == pytest.approx(0.01, rel=1e-4)

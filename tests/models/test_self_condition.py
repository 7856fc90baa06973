"""A model that sees its earlier prediction, as three more channels whose weights start at zero."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pixjax import models
from pixjax.config import ModelConfig
from pixjax.models import JiT

denoise = jax.jit(models.denoise, static_argnums=0)
CONFIG = ModelConfig(variant="Ti", canvas_size=8, patch_size="4", depth=1, width=16, heads=1, dtype="float32")
MODEL = JiT(dataclasses.replace(CONFIG, self_condition=True))
WITHOUT = JiT(CONFIG)
Z, T = jax.random.normal(jax.random.key(0), (2, 8, 8, 3)), jnp.array([0.3, 0.6])
PREVIOUS = jax.random.normal(jax.random.key(1), Z.shape)


def params_of(model):
    """Random, but for what starts at zero beside the earlier prediction."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), Z, T)["params"]
    params = jax.tree.map(lambda p: 0.1 * jax.random.normal(jax.random.key(p.size), p.shape), shapes)
    return params | {name: jax.tree.map(jnp.zeros_like, params[name]) for name in params if name == "embed_previous"}


def test_it_costs_one_matrix_and_off_it_costs_nothing():
    params, without = params_of(MODEL), params_of(WITHOUT)
    assert set(params) - set(without) == {"embed_previous"}
    assert params["embed_previous"]["kernel"].shape == without["embed_in"]["kernel"].shape
    start = jax.jit(MODEL.init)(jax.random.key(3), Z, T)["params"]
    np.testing.assert_array_equal(start["embed_previous"]["kernel"], 0.0)


def test_at_the_start_it_says_what_the_model_without_says():
    found = denoise(MODEL, params_of(MODEL), Z, T, previous=PREVIOUS)
    np.testing.assert_allclose(found, denoise(WITHOUT, params_of(WITHOUT), Z, T), atol=1e-6)


def test_no_earlier_prediction_is_one_of_zeros_and_another_one_counts():
    params = params_of(MODEL)
    params["embed_previous"]["kernel"] = params["embed_in"]["kernel"]
    none, zeros, some = (
        denoise(MODEL, params, Z, T, previous=previous) for previous in (None, jnp.zeros_like(Z), PREVIOUS)
    )
    np.testing.assert_array_equal(none, zeros)
    assert np.abs(some - none).max() > 1e-3
    np.testing.assert_allclose(some, denoise(MODEL, params, Z + PREVIOUS, T), atol=1e-5)  # equal weights: a sum

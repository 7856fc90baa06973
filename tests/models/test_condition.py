"""Regime by regime: what the model is told of a canvas, and which embedding learns from it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filled import filled

from pixjax.codec import IMAGE, TEXT
from pixjax.config import ModelConfig
from pixjax.models import NO_TYPE, JiT, denoise, type_condition

CONFIG = ModelConfig(variant="Ti", canvas_size=8, patch_size="4", depth=1, width=16, heads=1, dtype="float32")


@pytest.mark.parametrize(
    ("tagging", "text_condition", "told"),
    [
        ("none", False, [NO_TYPE, NO_TYPE]),
        ("marker", True, [NO_TYPE, NO_TYPE]),
        ("condition", False, [NO_TYPE, IMAGE]),  # no condition means text, the type embedding means natural image
        ("condition", True, [TEXT, IMAGE]),
        ("both", False, [NO_TYPE, IMAGE]),
    ],
)
def test_what_the_model_is_told(tagging, text_condition, told):
    config = dataclasses.replace(CONFIG, tagging=tagging, text_condition=text_condition)
    assert type_condition(config, jnp.array([TEXT, IMAGE])).tolist() == told


@pytest.mark.parametrize(("text_condition", "learning"), [(False, [[], [IMAGE]]), (True, [[TEXT], [IMAGE]])])
def test_each_modality_teaches_its_own_embedding_alone(text_condition, learning):
    config = dataclasses.replace(CONFIG, tagging="condition", text_condition=text_condition)
    model = JiT(config)
    z, t = jax.random.normal(jax.random.key(0), (1, 8, 8, 3)), jnp.array([0.5])
    params = filled(jax.eval_shape(model.init, jax.random.key(0), z, t)["params"], 0.1)
    gradient = jax.jit(
        jax.grad(lambda params, type_id: jnp.sum(jnp.square(denoise(model, params, z, t, type_id)))),
    )
    for modality, rows in zip((TEXT, IMAGE), learning, strict=True):
        found = gradient(params, type_condition(config, jnp.array([modality])))["type_embedding"]
        assert np.flatnonzero(np.abs(found).sum(axis=1)).tolist() == rows

"""The analytic count against the compiler's."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from pixjax.config import ModelConfig
from pixjax.models import Context, JiT
from pixjax.models.flops import forward_flops

CONFIG = ModelConfig(variant="Ti", canvas_size=32, patch_size="4", tagging="none", depth=1, dtype="float32")


@pytest.mark.parametrize("changes", [{}, {"in_context_tokens": 0, "patch_size": "2"}])
def test_forward_flops_are_what_the_compiler_counts_for_matrix_products(changes):
    """XLA also counts elementwise work, a few per cent; one layer, since it counts the body of a scan once."""
    config = dataclasses.replace(CONFIG, **changes)
    model = JiT(config)
    z, t = jnp.zeros((1, 32, 32, 3)), jnp.zeros(1)
    params = jax.eval_shape(model.init, jax.random.key(0), z, t)
    counted = jax.jit(model.apply).lower(params, z, t).compile().cost_analysis()["flops"]
    assert 0.9 < forward_flops(config) / counted <= 1.0


def test_canvases_of_the_context_cost_what_the_compiler_counts_for_them():
    config = dataclasses.replace(CONFIG, context_canvases=2)
    model = JiT(config)
    z, t, context = (
        jnp.zeros((1, 32, 32, 3)),
        jnp.zeros(1),
        Context(jnp.zeros((1, 2, 32, 32, 3)), jnp.ones((1, 2), bool)),
    )
    params = jax.eval_shape(model.init, jax.random.key(0), z, t)
    run = jax.jit(lambda params, z, t, context: model.apply(params, z, t, context=context))
    counted = run.lower(params, z, t, context).compile().cost_analysis()["flops"]
    assert 0.9 < forward_flops(config, 2) / counted <= 1.0


def test_published_cost_of_b16():
    """JiT-B/16 at 256 pixels: 25 Gflops as its paper counts, a multiply-add as one (arXiv 2511.13720, Table 6)."""
    config = ModelConfig(variant="B", canvas_size=256, patch_size="16", num_classes=1000)
    assert 23e9 < forward_flops(config) / 2 < 27e9

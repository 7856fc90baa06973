"""What is promised in float32 asks for it: on a TPU a float32 product is one bfloat16 pass otherwise."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from pixjax.codec import CanvasCodec
from pixjax.diffusion.posterior import mean_colors
from pixjax.models import Context, predict
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import place_batch, place_state
from pixjax.training.state import make_model
from pixjax.training.step import make_train_step

# Of the forward pass in bfloat16: t (two layers), the last modulation, the pixels and the ids that come out, layers
# over cells at both ends, and the mean colour.
ISLANDS = 4 + 1 + 2 + 1
EVERYTHING = {
    "tagging": "both", "num_classes": 3, "modality_mlp": True, "context_canvases": 1, "self_condition": True,
    "codebook_head": True, "codebook_input": True, "cell_layers": 1, "cell_width": 16,
}  # fmt: skip


def products(function, *arguments) -> list[str]:
    """The matrix products of a function as it is lowered for TPUs, which needs none."""
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=("tpu",)).as_text()
    return re.findall(r"stablehlo\.dot_general.*", text)


def in_float32(product: str) -> bool:
    operands = re.search(r": \((.*?)\) ->", product)[1]
    return operands.count("xf32>") == 2


def asks_for_it(product: str) -> bool:
    return "precision = [HIGHEST, HIGHEST]" in product


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ["xla", "heads_first"])
def test_every_product_of_the_network_is_in_its_dtype_or_asks_for_float32(tiny_config, dtype, attention):
    config = tiny_config(model=EVERYTHING | {"dtype": dtype, "attention": attention})
    model = make_model(config)
    z, t, ids = jnp.zeros((2, 16, 16, 3)), jnp.zeros(2), jnp.zeros(2, int)
    context = Context(jnp.zeros((2, 1, 16, 16, 3)), jnp.ones((2, 1), bool), jnp.zeros((2, 1), int))
    params = jax.eval_shape(model.init, jax.random.key(0), z, t)["params"]
    found = products(lambda p: predict(model, p, z, t, ids, ids, context=context, previous=z), params)
    exact = [product for product in found if in_float32(product)]
    assert all(map(asks_for_it, exact))
    if dtype == "float32":
        assert len(exact) == len(found) > 20
    else:
        context_time = 2  # of the clean canvases of the context
        assert len(exact) == ISLANDS + context_time
        assert not any(asks_for_it(product) for product in found if not in_float32(product))


def test_a_training_step_asks_for_float32_forwards_backwards_and_in_what_it_logs(tiny_config):
    config = tiny_config(model={"attention": "xla"}, training={"optimizer": "adamw"})
    model, optimizer, mesh = make_model(config), make_optimizer(config.training), make_mesh(config.training.mesh)
    step = make_train_step(config, CanvasCodec(**config.codec_arguments()), model, optimizer)
    found = products(step, place_state(config, model, optimizer, mesh), place_batch(config, mesh))
    assert len(found) > 20
    assert all(map(asks_for_it, filter(in_float32, found)))


def test_the_mean_legal_colour_is_computed_in_float32(tiny_config):
    codec = CanvasCodec(**tiny_config().codec_arguments())
    y = jnp.zeros((1, 16, 16, 3))
    (product,) = products(lambda y: mean_colors(codec, y, jnp.ones(1), elsewhere=y), y)
    assert asks_for_it(product)


def test_newton_schulz_is_left_to_the_device(tiny_config):
    config = dataclasses.replace(tiny_config().training, optimizer="muon")
    params = {"kernel": jnp.zeros((2, 4, 8))}
    optimizer = make_optimizer(config)
    found = products(optimizer.update, params, optimizer.init(params), params)
    assert found
    assert not any(map(asks_for_it, found))

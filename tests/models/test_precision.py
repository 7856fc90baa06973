"""What is promised in float32 asks for it: on a TPU a float32 product is one bfloat16 pass otherwise."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

from pixjax.codec import CanvasCodec
from pixjax.diffusion.bound import even
from pixjax.diffusion.posterior import mean_colors
from pixjax.models import Context, predict
from pixjax.models.order_bound import TextReader, next_token_nats
from pixjax.models.order_bound import _path as bound_terms
from pixjax.models.writing import write
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
TEXT_MODEL = {
    "tagging": "condition", "text_condition": True, "patch_size": "1x4", "codebook_head": True, "codebook_input": True,
    "cell_layers": 1, "cell_width": 16,
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


@pytest.mark.parametrize("text", [False, True])
def test_a_training_step_asks_for_float32_forwards_backwards_and_in_what_it_logs(tiny_config, text):
    """And, with a text head, in the orders of its canvases and in the law of t that adapts."""
    sections = {"model": {"attention": "xla"}}
    if text:
        sections = {
            "model": TEXT_MODEL | {"attention": "xla"},
            "codec": {"marker": False},
            "diffusion": {"time": {"text": "adaptive:-6:10"}, "blocks": {"text": "8:0.5,whole:0.5"}},
        }
    config = tiny_config(**sections, training={"optimizer": "adamw"})
    model, optimizer, mesh = make_model(config), make_optimizer(config.training), make_mesh(config.training.mesh)
    step = make_train_step(config, CanvasCodec(**config.codec_arguments()), model, optimizer)
    found = products(step, place_state(config, model, optimizer, mesh), place_batch(config, mesh))
    assert len(found) > 20
    assert all(map(asks_for_it, filter(in_float32, found)))


def test_so_does_what_reads_and_writes_text_in_an_order(tiny_config):
    config = tiny_config(model=TEXT_MODEL, codec={"marker": False}, diffusion={"blocks": {"text": "1:0.5,8:0.5"}})
    model = make_model(config)
    one, eight = (TextReader.named(model, config, name) for name in ("1", "8"))
    cells = one.codec.capacity
    canvas, mask, ids = jnp.zeros((2, 16, 16, 3), jnp.uint8), jnp.ones((2, 16, 16), bool), jnp.zeros((2, cells), int)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 16, 16, 3)), jnp.zeros(2))["params"]
    keys, proposal = jax.random.split(jax.random.key(0), 2), even(-10.0, 4.0)
    for function in (
        lambda p: next_token_nats(one, p, canvas),
        lambda p: bound_terms(eight, 2, p, proposal, keys[0], canvas, mask),
        lambda p: write(model, p, one.order, keys, ids, ids > 0),
    ):
        found = products(function, params)
        assert len(found) > 10
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

"""Text that is decided block by block: who may know of whom, and that nobody knows more."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filled import filled

from pixjax import models
from pixjax.codec import CanvasCodec, to_float
from pixjax.config import ModelConfig
from pixjax.diffusion import DecisionOrder
from pixjax.errors import InputError
from pixjax.models import Context, JiT, Palette, Written

SIZE = 8  # two patches of four letters a row
MODEL = ModelConfig(
    variant="Ti", canvas_size=SIZE, patch_size="1x4", tagging="none", depth=2, width=16, heads=2, in_context_tokens=2,
    in_context_start=1, codebook_head=True, codebook_input=True, cell_layers=1, cell_width=8, cell_reach=2,
    context_canvases=1, dtype="float32",
)  # fmt: skip
NOISE_SCALE = 1.5
ROWS = 1 + SIZE * SIZE  # of every batch, so that a model is compiled once
predict = jax.jit(models.predict, static_argnames=("model", "order"))


def codec(marker=False, **options):
    options = {"code": "radix:3:1", "patch_size": "1x4"} | options
    return CanvasCodec(tokenizer="chars27", canvas_size=SIZE, marker=marker, **options)


def model_of(order: DecisionOrder, **changes) -> JiT:
    book = Palette(codec=order.codec, noise_scale=NOISE_SCALE, text_types=(-1,), is_input=True, is_output=True)
    return JiT(dataclasses.replace(MODEL, **changes), book, (order,))


@functools.cache
def random_params(model: JiT):
    """Random values everywhere: layers that start at zero would hide what lies behind them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)), jnp.zeros(1))["params"]
    return filled(shapes, 0.3)


def log_probs(model: JiT, order: DecisionOrder, clean_ids, noisy, t):
    """Of every cell, from clean canvases, noisy ones and the time of each noisy cell."""
    num = len(clean_ids)
    rows = [None if x is None else np.resize(x, (ROWS, *np.shape(x)[1:])) for x in (clean_ids, noisy, t)]
    clean_ids, noisy, t = rows
    clean = to_float(jnp.asarray(order.codec.encode_ids(clean_ids)))
    context = Context(jnp.ones((len(clean), 1, SIZE, SIZE, 3)), jnp.ones((len(clean), 1), bool))
    written, nothing = Written(clean, t), jnp.zeros(len(clean))
    found = predict(model, random_params(model), noisy, nothing, context=context, written=written, order=order)
    return np.asarray(found.log_probs)[:num]


def orders():
    for marker in (False, True):
        for block in (1, 2, 4, 8, 32):
            yield pytest.param(DecisionOrder(block, codec(marker), (1, 4)), id=f"{block}, marker={marker}")


@pytest.mark.parametrize("order", orders())
def test_a_cell_is_told_what_is_before_its_block_and_its_own_noise_and_nothing_else(order):
    """Changed: clean cells from the block on, and noisy ones of every other block."""
    model, codec, random = model_of(order), order.codec, np.random.default_rng(1)
    of_cell = order.block_of_cell
    base_ids = random.integers(0, 27, codec.capacity)
    noise = random.standard_normal((SIZE * SIZE, 3)).astype(np.float32)
    blocks = np.unique(of_cell)
    ids = np.tile(base_ids, (1 + len(blocks), 1))
    noisy = np.tile(noise, (1 + len(blocks), 1, 1))
    t = np.full(ids.shape, 0.4, np.float32)
    for row, block in enumerate(blocks, start=1):
        ids[row, of_cell >= block] = (base_ids[of_cell >= block] + 1 + random.integers(0, 26)) % 27
        noisy[row, codec.cell_index[of_cell != block]] *= -1.7
        t[row, of_cell != block] = 0.7
    found = log_probs(model, order, ids, noisy.reshape(-1, SIZE, SIZE, 3), t)
    for row, block in enumerate(blocks, start=1):
        own = of_cell == block
        np.testing.assert_array_equal(found[row, own], found[0, own])
        if (of_cell > block).any():
            assert np.abs(found[row, of_cell > block] - found[0, of_cell > block]).max() > 1e-4


@pytest.mark.parametrize("order", [p for p in orders() if p.values[0].block in (1, 4)])
def test_every_cell_before_is_heard(order):
    """Of the last cell, each of the cells before its block is changed alone."""
    model, codec = model_of(order), order.codec
    earlier = np.flatnonzero(order.block_of_cell < order.block_of_cell[-1])
    ids = np.zeros((1 + len(earlier), codec.capacity), int)
    ids[np.arange(1, len(ids)), earlier] = 5
    noisy = jnp.zeros((len(ids), SIZE, SIZE, 3))
    found = log_probs(model, order, ids, noisy, jnp.full(ids.shape, 0.1))[:, -1]
    assert np.abs(found[1:] - found[0]).max(axis=-1).min() > 1e-6


@pytest.mark.parametrize("block", [2, 4])
def test_the_noise_of_the_own_block_is_heard(block):
    order = DecisionOrder(block, codec(), (1, 4))
    noisy = np.random.default_rng(2).standard_normal((2, SIZE * SIZE, 3)).astype(np.float32)
    noisy[1] = noisy[0]
    noisy[1, -1] += 1.0  # the last cell, of which the one before it, in the same block, is told
    ids = np.zeros((2, order.codec.capacity), int)
    found = log_probs(model_of(order), order, ids, noisy.reshape(2, SIZE, SIZE, 3), jnp.full(ids.shape, 0.5))
    assert np.abs(found[1, -2] - found[0, -2]).max() > 1e-5


def test_all_noise_says_what_time_zero_says():
    order = DecisionOrder(1, codec(), (1, 4))
    model, ids = model_of(order), np.random.default_rng(3).integers(0, 27, (2, order.codec.capacity))
    noisy = jnp.ones((2, SIZE, SIZE, 3))
    at_zero = log_probs(model, order, ids, noisy, jnp.zeros(ids.shape))
    np.testing.assert_allclose(log_probs(model, order, ids, noisy, None), at_zero, atol=1e-2)


def test_blocks_are_counted_in_places_of_the_canvas():
    order = DecisionOrder(4, codec(marker=True), (1, 4))
    np.testing.assert_array_equal(order.block_of_cell[:8], [0, 0, 0, 1, 1, 1, 1, 2])
    assert DecisionOrder(1, codec(marker=True), (1, 4)).block_of_cell[0] == 1  # the marker is block 0
    wide = DecisionOrder(2, codec(marker=True, code="radix:2:2", layout="patch"), (1, 4))
    np.testing.assert_array_equal(wide.place_of_cell[:4], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("block", "options", "patch", "said"),
    [
        (3, {}, (1, 4), "choose a divisor or a multiple of 4"),
        (64, {}, (1, 4), "or whole"),
        (0, {}, (1, 4), "do not fit"),
        (1, {}, (2, 2), "codec.layout='raster'"),
        (1, {"code": "radix:2:3"}, (1, 4), "no runs of the text"),
    ],
)
def test_orders_that_cannot_be(block, options, patch, said):
    with pytest.raises(InputError, match=said):
        DecisionOrder(block, codec(**options), patch)


@pytest.mark.parametrize("block", [1, 8])
def test_how_blocks_are_compiled_changes_nothing_and_half_precision_little(block):
    order = DecisionOrder(block, codec(marker=True), (1, 4))
    ids = np.random.default_rng(4).integers(0, 27, (2, order.codec.capacity))
    noisy, t = jnp.zeros((2, SIZE, SIZE, 3)), jnp.full(ids.shape, 0.4)
    expected = log_probs(model_of(order), order, ids, noisy, t)
    for changes in ({"scan_layers": False}, {"remat": "full"}, {"attention": "xla"}):
        found = log_probs(model_of(order, **changes), order, ids, noisy, t)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    half = log_probs(model_of(order, dtype="bfloat16"), order, ids, noisy, t)
    assert np.abs(np.exp(half) - np.exp(expected)).mean() < 0.02

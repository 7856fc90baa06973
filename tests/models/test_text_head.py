"""The text head and input: what is exact before any training, and what they leave alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filled import filled

from pixjax import models
from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.config import Config, ModelConfig
from pixjax.diffusion import matched_filter, noisy
from pixjax.errors import InputError
from pixjax.models import NO_TYPE, JiT, Palette, text_types
from pixjax.models.flops import forward_flops
from pixjax.training.state import init_params, make_model

predict, denoise = (jax.jit(function, static_argnums=0) for function in (models.predict, models.denoise))
SIZE = 8
MODEL = ModelConfig(
    variant="Ti", canvas_size=SIZE, patch_size="2", tagging="condition", depth=1, width=16, heads=1, in_context_tokens=0
)
CELLS = {"codebook_head": True, "codebook_input": True, "cell_layers": 2, "cell_width": 8, "cell_reach": 1}
LETTERS = CanvasCodec(tokenizer="chars27", code="radix:3:1", canvas_size=SIZE, marker=False)
# Two pixels a letter, after a marker: some cells lie in two patches, and the last pixel is in none.
PAIRS = CanvasCodec(tokenizer="chars27", code="radix:2:2", canvas_size=SIZE, marker=True)
NOISE_SCALE = 1.5


def palette(codec=LETTERS, is_input=True, is_output=True):
    return Palette(
        codec=codec, noise_scale=NOISE_SCALE, text_types=text_types(MODEL), is_input=is_input, is_output=is_output
    )


def start(model, seed=0):
    return init_params(model, jax.random.key(seed))


def trained(model):
    """Parameters of which none is zero, as if it had been trained."""
    return jax.tree.map(np.add, start(model), filled(start(model), 0.1))


def noisy_text(codec, batch=3, t=(0.2, 0.5, 0.8)):
    ids = np.random.default_rng(0).integers(0, codec.vocab_size, (batch, codec.capacity))
    t = jnp.asarray(t)
    x = to_float(jnp.asarray(codec.encode_ids(ids)))
    return noisy(x, jax.random.normal(jax.random.key(1), x.shape), t, NOISE_SCALE), t, ids


@pytest.mark.parametrize("codec", [LETTERS, PAIRS])
def test_before_training_it_is_the_matched_filter(codec):
    """Zero logits: the network says nothing of its own, and the colours alone decide."""
    model = JiT(MODEL, palette(codec))
    z, t, _ = noisy_text(codec)
    prediction = predict(model, start(model), z, t)
    np.testing.assert_allclose(prediction.x_hat, matched_filter(codec, NOISE_SCALE)(z, t), atol=1e-5)
    np.testing.assert_allclose(np.exp(prediction.log_probs).sum(axis=-1), 1.0, rtol=1e-5)


def test_logits_join_the_exact_posterior_of_a_gaussian():
    """Bayes' rule written out, with a prior that the bias of the last layer says."""
    model = JiT(MODEL, palette(is_input=False))
    params, log_prior = start(model), np.random.default_rng(1).normal(size=27).astype(np.float32)
    params["out_ids"]["bias"] = jnp.tile(log_prior, 4)
    z, t, _ = noisy_text(LETTERS)
    cells = np.asarray(z, np.float64).reshape(3, -1, 1, 3)[:, LETTERS.cell_index[:, 0]]
    mean = np.asarray(t)[:, None, None, None] * LETTERS.colors.reshape(27, 3)
    std = (1 - np.asarray(t))[:, None, None] * NOISE_SCALE
    joint = log_prior - 0.5 * np.square(cells - mean).sum(axis=-1) / std**2
    expected = joint - np.log(np.exp(joint).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(predict(model, params, z, t).log_probs, expected, atol=1e-4)


@pytest.mark.parametrize("codec", [LETTERS, PAIRS])
def test_certain_ids_are_the_canvas_that_the_codec_paints(codec):
    _, _, ids = noisy_text(codec)
    certain = jnp.log(jax.nn.one_hot(ids, codec.vocab_size) + 1e-30)
    np.testing.assert_allclose(palette(codec).mean(certain), to_float(codec.encode_ids(ids)), atol=1e-5)


def test_what_belongs_to_cells_comes_back_from_their_pixels():
    values = jax.random.normal(jax.random.key(0), (2, PAIRS.capacity, 5))
    book = palette(PAIRS)
    np.testing.assert_allclose(book.of_cells(book.at_pixels(values)), 2 * values, rtol=1e-6)
    assert np.count_nonzero(np.any(book.at_pixels(values) != 0, axis=-1)) == 2 * 2 * PAIRS.capacity


def test_images_are_denoised_as_without_it():
    model = JiT(MODEL, palette())
    params = trained(model)
    plain = {name: value for name, value in params.items() if name not in ("embed_ids", "out_ids")}
    z, t, _ = noisy_text(LETTERS)
    type_id = jnp.array([IMAGE, TEXT, NO_TYPE])
    mixed = predict(model, params, z, t, type_id).x_hat
    expected = predict(JiT(model.config), plain, z, t, type_id).x_hat
    np.testing.assert_allclose(mixed[0], expected[0], atol=1e-5)
    assert np.abs(mixed[1:] - expected[1:]).max(axis=(1, 2, 3)).min() > 0.1


def test_the_input_is_seen():
    model, blind = JiT(MODEL, palette()), JiT(MODEL, palette(is_input=False))
    params = trained(model)
    z, t, _ = noisy_text(LETTERS)
    seen = predict(model, params, z, t).log_probs
    unseen = predict(blind, {k: v for k, v in params.items() if k != "embed_ids"}, z, t).log_probs
    assert np.abs(seen - unseen).max() > 0.01


def test_both_ends_of_time_are_finite_and_so_are_their_gradients():
    model = JiT(MODEL, palette())
    z, _, _ = noisy_text(LETTERS)

    def total(params):
        return jnp.sum(predict(model, params, z, jnp.array([0.0, 0.5, 1.0])).x_hat ** 2)

    value, grads = jax.jit(jax.value_and_grad(total))(trained(model))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_half_precision_says_nearly_the_same():
    config = dataclasses.replace(MODEL, **CELLS, dtype="float32")
    whole, half = (JiT(dataclasses.replace(config, dtype=dtype), palette()) for dtype in ("float32", "bfloat16"))
    z, t, _ = noisy_text(LETTERS)
    expected, found = (predict(model, trained(whole), z, t) for model in (whole, half))
    assert found.log_probs.dtype == found.x_hat.dtype == jnp.float32
    np.testing.assert_allclose(np.exp(found.log_probs), np.exp(expected.log_probs), atol=0.02)
    np.testing.assert_allclose(np.exp(found.log_probs).sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "types"),
    [
        ({"tagging": "none"}, (NO_TYPE,)),
        ({"tagging": "condition"}, (NO_TYPE, TEXT)),
        ({"tagging": "both", "text_condition": True}, (TEXT,)),
    ],
)
def test_which_canvases_are_known_to_be_text(changes, types):
    config = dataclasses.replace(MODEL, **changes)
    assert text_types(config) == types
    book = dataclasses.replace(palette(), text_types=types)
    found = book.is_text(jnp.array([NO_TYPE, TEXT, IMAGE]), jnp.zeros((3, 8, 8, 3)))
    assert found.tolist() == [kind in types for kind in (NO_TYPE, TEXT, IMAGE)]


def test_a_marker_as_noisy_as_its_canvas_tells_too_late():
    model = dataclasses.asdict(dataclasses.replace(MODEL, tagging="marker", codebook_head=True))
    with pytest.raises(InputError, match="does not tell: set diffusion"):
        Config.from_dict({"model": model})


@pytest.mark.parametrize("codec", [LETTERS, PAIRS])
def test_layers_over_cells_start_as_the_matched_filter(codec):
    model = JiT(dataclasses.replace(MODEL, **CELLS), palette(codec))
    z, t, _ = noisy_text(codec)
    np.testing.assert_allclose(denoise(model, start(model), z, t), matched_filter(codec, NOISE_SCALE)(z, t), atol=1e-5)


def test_layers_over_cells_follow_the_reading_order_and_reach_as_far_as_told():
    """With the transformer's word for each cell cut off, a cell depends on those around it and on no others."""
    config = dataclasses.replace(MODEL, **CELLS)
    codec = CanvasCodec(
        tokenizer="chars27", code="radix:3:1", layout="patch", patch_size="2", canvas_size=SIZE, marker=False
    )
    model = JiT(config, palette(codec))
    params = trained(model)
    params["out_ids"] = jax.tree.map(jnp.zeros_like, params["out_ids"])
    z, t, _ = noisy_text(codec, batch=1, t=(0.5,))
    middle = codec.cell_index[30, 0]
    changed = z.at[0, middle // SIZE, middle % SIZE].add(0.5)
    moved = np.abs(predict(model, params, changed, t).log_probs - predict(model, params, z, t).log_probs).max(axis=-1)[
        0
    ]
    reach = 2 * config.cell_layers * config.cell_reach
    assert (moved[30 - reach : 30 + reach + 1] > 1e-6).all()
    assert np.delete(moved, range(30 - reach, 30 + reach + 1)).max() == 0


def test_layers_over_cells_need_the_codebook_at_both_ends():
    with pytest.raises(InputError, match=r"stand between the input and the head of text"):
        dataclasses.replace(MODEL, cell_layers=1, codebook_head=True)


@pytest.mark.parametrize("tokenizer", ["chars27", "bytes"])
@pytest.mark.parametrize("changes", [{}, {"cell_layers": 2, "cell_width": 32, "cell_reach": 2}])
def test_flops_are_what_the_compiler_counts(changes, tokenizer):
    codec = CanvasCodec(tokenizer=tokenizer, code="radix:auto:1", canvas_size=SIZE, marker=False)
    config = dataclasses.replace(MODEL, width=128, dtype="float32", codebook_head=True, codebook_input=True, **changes)
    model = JiT(config, palette(codec))
    z, t = jnp.zeros((1, SIZE, SIZE, 3)), jnp.zeros(1)
    params = jax.eval_shape(model.init, jax.random.key(0), z, t)
    counted = jax.jit(model.apply).lower(params, z, t).compile().cost_analysis()["flops"]
    assert 0.85 < forward_flops(model.config, palette=model.palette) / counted <= 1.0


def test_images_are_not_taken_for_text(tiny_config):
    config = tiny_config(model={"tagging": "none", "codebook_head": True}, codec={"marker": False})
    with pytest.raises(InputError, match="takes every canvas for text"):
        make_model(config)

"""One update: what accumulation, bad gradients and masks do to it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from filled import filled

from pixjax.codec import CanvasCodec
from pixjax.data import make_batches
from pixjax.training.metrics import add_up, averages
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

WARMUP = 100


@pytest.fixture(scope="module")
def problem(tiny_config):
    """A state after the warm-up, a batch, and `step(config)` to update it, compiled once for each config."""
    config = tiny_config(training={"warmup_steps": WARMUP})
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    with make_batches(config, codec) as batches:
        batch = next(batches)
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    state = dataclasses.replace(state, step=jnp.int32(WARMUP))
    compiled = {}

    def step(config):
        key = repr(config)
        if key not in compiled:
            compiled[key] = jax.jit(make_train_step(config, codec, model, optimizer))
        return compiled[key]

    return config, state, batch, step


@pytest.fixture(scope="module")
def updated(problem):
    config, state, batch, step = problem
    return step(config)(state, batch)


def in_four_parts(config):
    return dataclasses.replace(config, training=dataclasses.replace(config.training, accumulate=4))


def require_equal(one, other):
    """States and metrics of two updates, to rounding."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one[0].params, other[0].params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), one[0].information, other[0].information
    )
    first, second = (averages(add_up({}, [metrics])) for _, metrics in (one, other))
    assert first.keys() == second.keys()
    np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=2e-4)


def test_accumulation_equals_the_large_batch_to_rounding(problem, updated):
    config, state, batch, step = problem
    require_equal(step(in_four_parts(config))(state, batch), updated)


def test_so_it_does_with_a_codebook_and_an_adaptive_law(tiny_config):
    head = {"tagging": "both", "codebook_head": True, "codebook_input": True, "cell_layers": 1, "depth": 1}
    head |= {"text_condition": True}
    law = {"time": {"text": "adaptive:-6:10"}}
    config = tiny_config(model=head, diffusion=law, training={"type_dropout": 0.4})
    codec, optimizer = CanvasCodec(**config.codec_arguments()), make_optimizer(config.training)
    model = make_model(config, codec)
    with make_batches(config, codec) as batches:
        batch = next(batches)
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    whole, parts = (
        jax.jit(make_train_step(c, codec, model, optimizer))(state, batch) for c in (config, in_four_parts(config))
    )
    require_equal(parts, whole)
    # The law learns from the text whose type was shown, which alone the head reads: here that is a part of it.
    assert 0 < whole[0].information["text"][1].sum() < np.sum(batch["modality"] == 0)


def test_a_codebook_head_is_trained_by_the_cross_entropy_of_what_was_painted(tiny_config):
    """Before any update that of the matched filter; the loss of an image is that of its pixels, and weighs 1."""
    head = {"tagging": "condition", "codebook_head": True, "codebook_input": True, "depth": 1}
    config = tiny_config(model=head, codec={"marker": False}, training={"clip_norm": 0.0})
    codec, optimizer = CanvasCodec(**config.codec_arguments()), make_optimizer(config.training)
    start = jax.jit(lambda: init_state(config, make_model(config, codec), optimizer))()
    with make_batches(config, codec) as batches:
        batch = next(batches)
    losses, momentum = {}, {}
    for name, changes in {
        "cross": {"text_weight": 1.0},
        "tripled": {"text_weight": 3.0},
        "pixels": {"text_loss": "pixels"},
    }.items():
        changed = dataclasses.replace(config, diffusion=dataclasses.replace(config.diffusion, **changes))
        step = jax.jit(make_train_step(changed, codec, make_model(changed, codec), optimizer))
        state, metrics = step(start, batch)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
        losses[name], momentum[name] = averages(add_up({}, [metrics])), optax.tree.get(state.opt_state, "mu")
    cross, tripled, pixels = losses["cross"], losses["tripled"], losses["pixels"]
    assert tripled["loss/text"] == cross["loss/text"]  # the log does not depend on the weight, the gradient does
    for name, times in (("out_ids", 3), ("out", 1)):
        of_one, of_three = (momentum[weight][name]["bias"] for weight in ("cross", "tripled"))
        np.testing.assert_allclose(of_three, times * of_one, rtol=1e-4, atol=1e-7)
        assert np.abs(of_one).max() > 1e-6
    assert 0 < cross["loss/text"] < np.log(27)
    assert pixels["loss/text"] != cross["loss/text"]
    assert pixels["loss/image"] == tripled["loss/image"] == cross["loss/image"]


def test_text_whose_type_is_hidden_teaches_the_pixel_head(tiny_config):
    """What it is denoised by without a type; the text head says nothing of it."""
    model = {"tagging": "condition", "text_condition": True, "codebook_head": True}
    config = tiny_config(
        model=model, codec={"marker": False}, data={"sources": ["demo:text"]}, training={"type_dropout": 1.0}
    )
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    with make_batches(config, codec) as batches:
        batch = next(batches)
    before = dataclasses.replace(jax.jit(lambda: init_state(config, model, optimizer))(), step=jnp.int32(3))
    after, _ = jax.jit(make_train_step(config, codec, model, optimizer))(before, batch)
    moved = {
        name: np.abs(after.params[name]["bias"] - before.params[name]["bias"]).max() for name in ("out", "out_ids")
    }
    assert moved["out"] > 0 == moved["out_ids"]


def test_an_update_with_a_gradient_that_is_not_finite_changes_nothing_but_the_step(problem):
    config, state, batch, step = problem
    broken = dataclasses.replace(state, params=jax.tree.map(lambda x: x, state.params))
    broken.params["out"]["bias"] = broken.params["out"]["bias"].at[0].set(jnp.nan)
    after, metrics = step(config)(broken, batch)
    assert int(after.step) == int(broken.step) + 1
    for name in ("params", "opt_state", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(broken, name))
    assert averages(add_up({}, [metrics]))["skipped_updates"] == 1


def test_a_good_update_is_not_counted_as_skipped(updated):
    assert averages(add_up({}, [updated[1]]))["skipped_updates"] == 0


def test_the_randomness_of_a_step_is_that_of_its_number(problem, updated):
    config, state, batch, step = problem
    again, metrics = step(config)(state, batch)
    jax.tree.map(np.testing.assert_array_equal, again.params, updated[0].params)
    _, other = step(config)(dataclasses.replace(state, step=state.step + 1), batch)
    assert not np.array_equal(other["loss"], metrics["loss"])


def test_masked_pixels_teach_nothing(problem, updated):
    """A pixel outside the mask may hold anything in the canvas: it is seen, noised, but not asked for."""
    config, state, batch, step = problem
    nothing = dict(batch, loss_mask=np.zeros_like(batch["loss_mask"]))
    _, metrics = step(config)(state, nothing)
    assert averages(add_up({}, [metrics]))["gradient_norm"] == 0


def test_the_learning_rate_goes_by_the_step_also_after_a_skipped_update(problem):
    config, state, batch, step = problem
    moved = []
    for number in (10, 20):  # the optimizer has counted neither
        after, metrics = step(config)(dataclasses.replace(state, step=jnp.int32(number)), batch)
        assert averages(add_up({}, [metrics]))["learning_rate"] == pytest.approx(1e-3 * number / WARMUP)
        moved.append(np.abs(after.params["out"]["bias"] - state.params["out"]["bias"]).max())
    assert moved[1] == pytest.approx(2 * moved[0], rel=1e-3)  # Adam's first step has the size of the rate


@pytest.fixture(scope="module")
def with_context(tiny_config):
    """As `problem`, in a model that sees the page before; and the loss of an update by its context's canvases."""
    config = tiny_config(
        model={"canvas_size": 8, "depth": 1, "context_canvases": 1},
        data={"batch_size": 8, "sources": ["demo:text"], "context_pages": 1},
    )
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    with make_batches(config, codec) as batches:
        batch = next(batches)
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    state = dataclasses.replace(state, params=filled(state.params, 0.2))

    @functools.cache
    def step(share):
        hiding = dataclasses.replace(config, training=dataclasses.replace(config.training, context_dropout=share))
        return jax.jit(make_train_step(hiding, codec, model, optimizer))

    def loss(share, **fields):
        return averages(add_up({}, [step(share)(state, batch | fields)[1]]))["loss"]

    return batch, loss


def test_a_share_of_contexts_is_hidden(with_context):
    batch, loss = with_context
    half, all_hidden = loss(0.5), loss(1.0)
    absent, another = {"context_present": np.zeros_like(batch["context_present"])}, {"context": 255 - batch["context"]}
    assert all_hidden == loss(0.5, **absent) == loss(1.0, **another)
    assert len({half, all_hidden, loss(0.5, **another)}) == 3

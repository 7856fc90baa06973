"""Which canvases of a batch are decided in which order, and what is learned of them."""

import dataclasses

import jax
import numpy as np
import pytest

from pixjax.codec import TEXT, CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.diffusion.bound import even
from pixjax.errors import InputError
from pixjax.models.order_bound import LOG_SNR_MIN, TextReader, bound_in_order, next_token_bits
from pixjax.training.computation import update_flops
from pixjax.training.optimizer import make_optimizer
from pixjax.training.rows import rows_by_order
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

HEAD = {
    "tagging": "condition", "patch_size": "1x8", "codebook_head": True, "codebook_input": True, "cell_layers": 1,
    "cell_width": 8, "cell_reach": 2, "depth": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def config_of(tiny_config):
    def make(blocks, batch_size=8, sources=("demo:text", "demo:images"), **training) -> Config:
        return tiny_config(
            model=HEAD,
            codec={"marker": False, "layout": "raster"},
            data={"batch_size": batch_size, "sources": list(sources)},
            diffusion={"blocks": {"text": blocks}},
            training=training,
        )

    return make


@pytest.mark.parametrize(
    ("blocks", "batch_size", "of_text"),
    [
        ("1", 8, {"1": 4, "whole": 0}),
        ("1:0.5,whole:0.5", 8, {"1": 2, "whole": 2}),
        ("1:0.6,8:0.1,whole:0.3", 40, {"1": 12, "8": 2, "whole": 6}),
        ("1:0.6,8:0.1,whole:0.3", 16, {"1": 5, "8": 1, "whole": 2}),
    ],
)
def test_text_is_shared_out_and_every_canvas_is_in_one_order(config_of, blocks, batch_size, of_text):
    config = config_of(blocks, batch_size)
    rows = rows_by_order(config)
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        modality = next(batches)["modality"]
    taken = {name: rows.take(name, np.arange(batch_size)) for name in rows.of}
    assert sorted(np.concatenate(list(taken.values()))) == list(range(batch_size))
    assert {name: int(np.sum(modality[taken[name]] == TEXT)) for name in taken} == of_text
    assert all((modality[taken[name]] == TEXT).all() for name in taken if name != "whole")


def test_groups_are_as_small_as_the_shares_allow(config_of):
    """So that each device finds its part of every order among what it holds."""
    assert rows_by_order(config_of("1:0.5,whole:0.5", 32)).groups == 8
    assert rows_by_order(config_of("1", 32, accumulate=2)).groups == 8


@pytest.mark.parametrize(
    ("blocks", "changes", "said"),
    [
        ("1:0.5,8:0.5", {"batch_size": 2}, "too few"),
        ("1", {"batch_size": 7}, "no multiple of the 2 canvases"),
    ],
)
def test_batches_that_cannot_be_shared_out(config_of, blocks, changes, said):
    with pytest.raises(InputError, match=said):
        rows_by_order(config_of(blocks, **changes))


@pytest.mark.parametrize("blocks", ["", "0", "1:0.5", "1,8", "1:0.5,1:0.5", "1:-1,8:2", "half", "1:nan,8:1"])
def test_blocks_that_are_no_order(config_of, blocks):
    if blocks == "1:0.5":
        assert config_of(blocks).diffusion.blocks.shares == {"1": 1.0}
        return
    with pytest.raises(InputError, match="blocks"):
        config_of(blocks)


def test_all_orders_are_learned_in_one_update_and_accumulation_changes_nothing(config_of):
    """The loss of each order is logged, and goes down; images are there as ever."""
    config = config_of("1:0.5,8:0.25,whole:0.25", 16, warmup_steps=1, learning_rate=3e-3)
    codec = CanvasCodec(**config.codec_arguments())
    model, optimizer = make_model(config, codec), make_optimizer(config.training)
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    in_parts = dataclasses.replace(config, training=dataclasses.replace(config.training, accumulate=2))
    with make_batches(config, codec) as batches:
        batch = {name: value for name, value in next(batches).items() if name not in ("bad", "skipped")}
    step, parted = (jax.jit(make_train_step(c, codec, model, optimizer)) for c in (config, in_parts))
    _, expected = step(state, batch)
    _, found = parted(state, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), found, expected)
    names = [f"loss/text/blocks={name}" for name in ("1", "8", "whole")]
    assert {name: int(expected[name][1]) for name in names} == dict(zip(names, (4, 2, 2), strict=True))
    start = state.step
    for _ in range(30):
        state, _ = step(state, batch)
    _, learned = step(state.replace(step=start), batch)  # with the noise of the first update
    for name in names:
        assert learned[name][0] < 0.95 * expected[name][0], name


def test_letters_without_order_stay_at_their_entropy(config_of):
    """What a cell may not know would show here first: letters drawn apart from one another cannot be foretold."""
    config = config_of(
        "1:0.5,8:0.5",
        16,
        ["demo:text"],
        warmup_steps=5,
        learning_rate=1e-2,
        steps=150,
        decay="cosine",
        optimizer="muon",
    )
    codec = CanvasCodec(**config.codec_arguments())
    model, optimizer = make_model(config, codec), make_optimizer(config.training)
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    step = jax.jit(make_train_step(config, codec, model, optimizer), donate_argnums=0)
    random, share = np.random.default_rng(0), np.array([0.5, 0.25, 0.125, 0.125])
    entropy = -(share * np.log2(share)).sum()

    def canvases(num):
        ids = random.choice(4, size=(num, codec.capacity), p=share)
        return codec.encode_ids(ids), np.ones((num, codec.canvas_size, codec.canvas_size), bool)

    rest = {"modality": np.full(16, TEXT, np.int32), "label": np.full(16, -1, np.int32)}
    for _ in range(150):
        canvas, mask = canvases(16)
        state, _ = step(state, {"canvas": canvas, "loss_mask": mask, **rest})
    test, mask = canvases(32)
    letters = next_token_bits(TextReader.named(model, config, "1"), state.params, test)
    assert entropy - 0.05 < letters.mean() < entropy + 0.05
    blocks, proposal = TextReader.named(model, config, "8"), even(LOG_SNR_MIN, 6.0)
    bound = bound_in_order(blocks, state.params, test, mask, num_times=32, proposal=proposal, endpoints=(6.0,))
    bits = bound.total.mean() / np.log(2) / codec.capacity
    assert entropy - 0.05 < bits < entropy + 0.15


def test_computation_is_counted_by_order(config_of):
    """Letter by letter costs about what one pass does, blocks of whole patches about two."""
    base, single, blocks = (config_of(b, 16, sources=["demo:text"]) for b in ("whole", "1", "8"))
    of = [update_flops(config, make_model(config)) for config in (base, single, blocks)]
    assert 0.8 < of[1] / of[0] < 1.2
    assert 1.7 < of[2] / of[0] < 2.1

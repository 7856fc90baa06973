"""Images leave out the layers for text, and nothing of an update changes by it."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from filled import filled

from pixjax.codec import TEXT, CanvasCodec
from pixjax.config import Config, MeshConfig
from pixjax.data.batch_plan import make_plan
from pixjax.models.text_rows import ANY_ROW, TextRows
from pixjax.planning.target import run_on_fake_cpus
from pixjax.training.computation import update_flops
from pixjax.training.mesh import batch_sharding, make_mesh
from pixjax.training.placement import jit_train_step, place_state
from pixjax.training.rows import rows_by_order
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

HEAD = {
    "tagging": "condition", "patch_size": "1x8", "codebook_head": True, "codebook_input": True, "cell_layers": 1,
    "cell_width": 8, "cell_reach": 1, "depth": 1, "width": 16, "canvas_size": 8,
}  # fmt: skip
BOTH = ("demo:text", "demo:images")
KEPT = optax.trace(0.0)  # its state is the gradient


@pytest.fixture(scope="module")
def config_of(tiny_config):
    def make(sources=BOTH, blocks="whole", batch_size=8, model=(), training=(), **diffusion) -> Config:
        model = HEAD | dict(model)
        uses_marker = model["tagging"] != "condition"
        return tiny_config(
            model=model,
            codec={"marker": uses_marker, "layout": "raster"},
            data={
                "batch_size": batch_size,
                "sources": list(sources),
                "context_pages": model.get("context_canvases", 0),
            },
            diffusion={"blocks": {"text": blocks}, **diffusion},
            training=dict(training),
        )

    return make


def problem_of(config: Config):
    """A codec, a model, a state of which no parameter is zero, and a batch."""
    codec = CanvasCodec(**config.codec_arguments())
    model = make_model(config, codec)
    state = filled(jax.eval_shape(lambda: init_state(config, model, KEPT)), 0.2)
    batch = {name: value for name, value in make_plan(config, codec)[0].items() if name not in ("bad", "skipped")}
    return codec, model, dataclasses.replace(state, step=jnp.int32(3)), batch


def require_equal(one, other, tolerance: float = 1e-5):
    """Gradients and metrics of two updates, to rounding."""
    for a, b in zip(jax.tree.leaves(one[0].opt_state), jax.tree.leaves(other[0].opt_state), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (np.abs(b).max() + 1e-3))
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        np.testing.assert_allclose(one[1][name], other[1][name], rtol=10 * tolerance, atol=tolerance, err_msg=name)


CASES = {
    "types, of which some are hidden, beside text in two streams": {
        "blocks": "8:0.5,whole:0.5", "model": {"text_condition": True}, "training": {"type_dropout": 0.5},
    },
    "a marker, in two parts, with context, a scan and remat": {
        "model": {"tagging": "marker", "context_canvases": 1, "scan_layers": True, "remat": "full"},
        "training": {"accumulate": 2}, "marker_first": 0.5,
    },
    "images alone, twice": {
        "sources": ["demo:images"], "model": {"self_condition": True}, "training": {"self_condition": 1.0},
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_losses_and_gradients_are_those_of_all_rows_through_all_layers(config_of, changes):
    config = config_of(**changes)
    codec, model, state, batch = problem_of(config)
    rows = rows_by_order(config)
    apart, together = (
        jax.jit(make_train_step(config, codec, model, KEPT, rows=way)).lower(state, batch)
        for way in (rows, dataclasses.replace(rows, may_be_text=ANY_ROW))
    )
    found, expected = (lowered.compile()(state, batch) for lowered in (apart, together))
    require_equal(found, expected)
    assert any(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(found[0].opt_state))

    saved = together.cost_analysis()["flops"] - apart.cost_analysis()["flops"]  # before the compiler optimises
    counted = update_flops(config, model, shards=3) - update_flops(config, model)  # that many devices it does not fit
    assert 0.8 < counted / saved / config.training.accumulate < 1.05


@pytest.mark.parametrize(
    ("batch_size", "parts", "blocks"),
    [
        (8, 1, "whole"),
        (8, 1, "1"),
        (24, 3, "whole"),
        (16, 2, "1:0.5,whole:0.5"),
        (40, 1, "1:0.6,8:0.1,whole:0.3"),
    ],
)
def test_text_is_where_batches_have_it_in_every_part(config_of, batch_size, parts, blocks):
    config = config_of(batch_size=batch_size, training={"accumulate": parts}, blocks=blocks)
    rows = rows_by_order(config)
    is_text = make_plan(config, CanvasCodec(**config.codec_arguments()))[1]["modality"] == TEXT
    of_whole = rows.take("whole", is_text).reshape(-1, parts)
    text_rows = rows.text_rows(1)
    for part in range(parts):
        expected = np.resize(np.isin(np.arange(text_rows.period), text_rows.places), len(of_whole))
        np.testing.assert_array_equal(of_whole[:, part], expected)


def test_rows_stay_where_they_are_unless_a_batch_is_in_parts(config_of):
    """Dropout drops what it did."""
    rows = rows_by_order(config_of())
    np.testing.assert_array_equal(rows.take("whole", np.arange(8)), np.arange(8))


@pytest.mark.parametrize(
    ("changes", "shards"),
    [
        ({"batch_size": 7}, 1),  # four of text, then three
        ({"batch_size": 6, "training": {"accumulate": 2}}, 1),  # three of text in two parts
        ({"batch_size": 6}, 2),  # two and one on two devices
        ({"sources": ["demo:text"]}, 1),
    ],
)
def test_where_the_text_does_not_stay_in_its_place_all_rows_go_through_all_layers(config_of, changes, shards):
    config = config_of(**changes)
    rows, size = rows_by_order(config), config.data.batch_size
    assert rows.text_rows(shards).are_all
    np.testing.assert_array_equal(rows.take("whole", np.arange(size)), np.arange(size))


@pytest.mark.parametrize("rows", [TextRows(), TextRows(3, (0, 2)), TextRows(3, (1,)), TextRows(2, ())])
def test_rows_are_taken_and_put_back(rows):
    x, which = jnp.arange(24.0).reshape(6, 2, 2), jnp.array([True, True, False, False, True, True])
    text = [row for row in range(6) if row % rows.period in rows.places]
    np.testing.assert_array_equal(rows.of(x), x[np.array(text, int)])
    sign = [-1 if row in text and which[row] else 1 for row in range(6)]
    np.testing.assert_array_equal(rows.replace(x, which, -rows.of(x)), x * np.reshape(sign, (6, 1, 1)))


def update_on_two_devices(config: Config):
    """What an update makes on two devices and on one, and the messages of the first that are no sums."""
    codec, model, state, batch = problem_of(config)
    train_step = make_train_step(config, codec, model, KEPT)
    alone = jax.jit(train_step)(state, batch)
    mesh = make_mesh(MeshConfig(data=2))
    placed = jax.tree.map(lambda x: x.sharding, place_state(config, model, KEPT, mesh))
    state, batch = jax.device_put(state, placed), jax.device_put(batch, batch_sharding(mesh))
    compiled = jit_train_step(train_step, state, mesh).lower(state, batch).compile()
    messages = re.findall(r"(all-gather|all-to-all|collective-permute)(?:-start)?\(", compiled.as_text())
    return jax.device_get((compiled(state, batch), alone)), messages


def test_each_of_two_devices_finds_its_text_among_what_it_holds(config_of):
    config = config_of()
    assert not rows_by_order(config).text_rows(2).are_all
    (found, alone), messages = run_on_fake_cpus(2, update_on_two_devices, config)
    require_equal(found, alone)
    assert not messages

"""The memory of a compiled step: exact where it can be, and a batch that fits because it was compiled."""

import dataclasses

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.chips import parse_chips
from pixjax.config import Config, ModelConfig
from pixjax.errors import InputError
from pixjax.models.flops import training_flops
from pixjax.planning import footprint
from pixjax.planning.footprint import Footprint, compile_step, measure_memory, smallest_mesh
from pixjax.planning.target import find_target
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model

ONE = (1, 1, 1)


@pytest.fixture(scope="module")
def compiled(tiny_config):
    """`compiled(n)` is the footprint with n canvases on one device."""
    target = find_target(None, 1)
    known = {}

    def at(canvases: int):
        if canvases not in known:
            known[canvases] = compile_step(tiny_config(), target, ONE, canvases)
        return known[canvases]

    return at


def test_state_and_batch_are_the_bytes_of_the_arrays_that_training_makes(tiny_config, compiled):
    config = tiny_config()
    state = init_state(config, make_model(config), make_optimizer(config.training))
    assert compiled(8).state == sum(x.nbytes for x in jax.tree.leaves(state))
    pixels = 16 * 16
    assert compiled(8).batch == 8 * (3 * pixels + pixels + 4 + 4)  # canvas, loss mask, modality, label


def test_memory_grows_in_a_line_with_the_batch(compiled):
    first, second = (compiled(n).total - compiled(n // 2).total for n in (8, 16))
    assert second == pytest.approx(2 * first, rel=0.15)


def test_the_largest_batch_was_compiled_and_nearly_fills_the_memory(tiny_config, compiled, monkeypatch):
    monkeypatch.setattr(footprint, "compile_step", lambda config, target, mesh, canvases: compiled(canvases))
    limit = compiled(16).total
    memory = measure_memory(tiny_config(), None, ONE, limit)
    assert memory.wanted == compiled(8)
    assert 0.95 * limit < memory.largest.total <= limit
    counters = 2  # of the run, and of Adam
    assert memory.state == memory.state_per_device == 4 * ((1 + 2 + 2) * memory.parameters + counters)


@pytest.fixture(scope="module")
def search(tiny_config):
    """The largest batch where a canvas takes so much, and the compiler refuses what is above its own limit."""

    def largest(fixed: int, per_canvas: int, limit: int, accumulate: int = 1, refused: float = float("inf")):
        def compile_step(config, target, mesh, canvases):
            total = fixed + per_canvas * canvases
            return None if total > refused else Footprint(canvases=canvases, state=0, batch=0, rest=total, flops=0)

        config = tiny_config(data={"batch_size": 8 * accumulate}, training={"accumulate": accumulate})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(footprint, "compile_step", compile_step)
            return measure_memory(config, None, ONE, limit)

    return largest


@settings(max_examples=10, deadline=None)
@given(
    fixed=st.integers(0, 1000),
    per_canvas=st.integers(1, 300),
    room=st.integers(0, 3000),
    unit=st.sampled_from((1, 2, 3)),
)
def test_a_batch_that_fits_is_found_in_whole_parts(search, fixed, per_canvas, room, unit):
    limit = fixed + room
    memory = search(fixed, per_canvas, limit, unit)
    if room < per_canvas * unit:
        assert memory.largest is None
    else:
        assert memory.largest.canvases % unit == 0
        assert memory.largest.total <= limit
        assert memory.largest.total + per_canvas * unit > 0.98 * limit
    assert memory.per_canvas == per_canvas
    assert memory.fixed == fixed


def test_a_batch_that_the_compiler_refuses_is_known_not_to_fit(search):
    memory = search(fixed=100, per_canvas=50, limit=1000, refused=320)
    assert memory.wanted is None
    assert memory.largest.canvases == 4
    assert memory.fixed + memory.per_canvas * 8 == 500


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_compiled(tiny_config):
    with pytest.raises(InputError, match="choose a multiple of 3"):
        measure_memory(tiny_config(), None, (3, 1, 1), 1e9)


def test_flops_are_what_the_compiler_counts():
    """One block, since it counts the body of a scan once; it also counts elementwise work."""
    model = ModelConfig(variant="Ti", canvas_size=32, depth=1, in_context_tokens=0, dtype="float32")
    config = dataclasses.replace(Config(), model=model)
    counted = compile_step(config, find_target(None, 1), ONE, 2).flops
    assert 0.85 < 2 * training_flops(model) / counted < 1.0


def test_tpus_own_compiler_is_used_where_it_is_installed(tiny_config):
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'pixjax[tpu]', which needs no TPU")
    chip, _ = parse_chips("v5e-4")
    config = tiny_config(model={"dtype": "bfloat16", "attention": "xla"})
    memory = measure_memory(config, chip, ONE, chip.memory)
    assert memory.is_exact
    assert "TPU" in memory.compiler
    assert memory.state_per_device < memory.wanted.total < chip.memory
    assert memory.largest.total <= chip.memory


def test_a_mesh_is_made_small_as_far_as_every_order_has_a_canvas(tiny_config):
    """16 canvases on 16 devices, half of them text: with a mixture of orders two of them are no batch."""
    head = {"tagging": "condition", "codebook_head": True, "codebook_input": True, "patch_size": "1x8"}
    whole, mixed = (
        tiny_config(
            model=head, codec={"marker": False}, data={"batch_size": 16}, diffusion={"blocks": {"text": blocks}}
        )
        for blocks in ("whole", "1:0.75,whole:0.25")
    )
    assert smallest_mesh(whole, (16, 1, 1)) == (2, 1, 1)
    data, *rest = smallest_mesh(mixed, (16, 1, 1))
    assert 2 < data <= 16
    assert rest == [1, 1]
    few = dataclasses.replace(mixed, data=dataclasses.replace(mixed.data, batch_size=2))
    with pytest.raises(InputError, match="too few for diffusion"):
        smallest_mesh(few, (2, 1, 1))

"""Text in a decision order, as a user asks for it: samples, scores and bits of one model by several orders."""

import dataclasses

import numpy as np
import pytest
from checked import generate
from filled import filled
from untrained import untrained

from pixjax.codec import IMAGE, TEXT
from pixjax.diffusion.bound import even
from pixjax.errors import InputError
from pixjax.evaluation.order_likelihood import evaluate_order
from pixjax.models.order_bound import LOG_SNR_MIN, TextReader, bound_in_order, next_token_bits
from pixjax.sampling.infill import given_text

MODEL = {
    "tagging": "condition", "canvas_size": 8, "patch_size": "1x4", "depth": 1, "width": 16, "heads": 1,
    "codebook_head": True, "codebook_input": True, "cell_layers": 1, "cell_width": 8, "cell_reach": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_config):
    """With random parameters: what it says of a letter is far from certain, and from even."""
    config = tiny_config(
        model=MODEL,
        codec={"marker": False, "layout": "raster"},
        diffusion={"blocks": {"text": "1:0.4,8:0.3,whole:0.3"}},
    )
    start = untrained(config)
    return dataclasses.replace(start, params=filled(start.params, 0.3))


def ids_of(model, made):
    return model.codec.nearest_ids(made.canvases)


@pytest.mark.parametrize("blocks", ["1", "8"])
def test_a_sample_is_text_and_depends_on_the_seed_and_its_number_alone(model, blocks):
    made = generate(model, "text", 3, blocks={"text": blocks}, steps=2, batch_size=2)
    assert made.x.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(model.codec.encode_ids(ids_of(model, made)), made.canvases)
    alone = generate(model, "text", 1, blocks={"text": blocks}, steps=2)
    np.testing.assert_array_equal(alone.canvases[0], made.canvases[0])
    assert len({canvas.tobytes() for canvas in made.canvases}) == 3


def test_the_first_order_is_taken_unless_one_is_asked_for(model):
    first, asked = (generate(model, "text", 1, **how) for how in ({}, {"blocks": {"text": "1"}}))
    np.testing.assert_array_equal(first.canvases, asked.canvases)


def test_text_and_images_in_one_batch_are_what_each_is_alone(model):
    mixed = generate(model, "any", 6, steps=2)
    assert set(mixed.modality) == {TEXT, IMAGE}
    for modality, name in ((TEXT, "text"), (IMAGE, "image")):
        alone, here = generate(model, name, 6, steps=2), mixed.modality == modality
        np.testing.assert_allclose(mixed.x[here], alone.x[here], atol=1e-4)


def test_at_no_temperature_each_letter_is_the_likeliest(model):
    made = generate(model, "text", 1, temperature=0.0)
    text = model.codec.detokenize(ids_of(model, made)[0])
    other = "b" if text[20] == "a" else "a"
    chosen, changed = model.score(text), model.score(text[:20] + other + text[21:])
    assert chosen[20] < changed[20]
    np.testing.assert_allclose(chosen[:20], changed[:20], atol=1e-5)


def test_probabilities_of_the_next_letter_add_up_to_one(model):
    scores = model.score([f"a text{letter}b" for letter in " abcdefghijklmnopqrstuvwxyz"])
    assert all(score.dtype == np.float64 and score.shape == (8,) for score in scores)
    assert sum(2.0 ** -score[6] for score in scores) == pytest.approx(1, abs=1e-4)
    for score in scores[1:]:
        np.testing.assert_allclose(score[:6], scores[0][:6], atol=1e-5)
    np.testing.assert_allclose(model.score("a text"), scores[0][:6], atol=1e-5)


def test_letter_by_letter_the_bound_is_the_exact_figure_wherever_the_path_ends(model):
    """The lemma: what is said of a cell does not see the cell's own noise."""
    reader = TextReader.named(model.model, model.config, "1")
    canvases = model.codec.encode_ids(np.random.default_rng(0).integers(0, 27, (8, model.codec.capacity)))
    exact = next_token_bits(reader, model.params, canvases).sum()
    for end in (1.0, 6.0):
        bound = bound_in_order(
            reader, model.params, canvases, np.ones(canvases.shape[:3], bool), num_times=512,
            proposal=even(LOG_SNR_MIN, end), endpoints=(end,),
        )  # fmt: skip
        assert bound.total.sum() / np.log(2) == pytest.approx(exact, rel=0.01)


def test_bits_of_every_order_are_measured(model):
    random = np.random.default_rng(1)
    test, validation = (model.codec.encode_ids(random.integers(0, 27, (8, model.codec.capacity))) for _ in range(2))
    mask = np.ones(test.shape[:3], bool)
    found = {
        blocks: evaluate_order(model, (test, mask), blocks, validation=(validation, mask), num_times=2)
        for blocks in ("1", "8")
    }
    assert found["1"]["is_exact"]
    assert not found["8"]["is_exact"]
    assert found["1"]["passes_per_token"] == 1
    exact = next_token_bits(TextReader.named(model.model, model.config, "1"), model.params, test)
    for figures in found.values():
        assert figures["bits_per_char"] > np.log2(27) - 0.1  # random letters: no model takes less
        assert len(figures["canvas_bits"]) == 8
    assert found["1"]["bits_per_token"] == pytest.approx(exact.mean())


def texts(model, canvases):
    return [model.codec.detokenize(ids) for ids in model.codec.nearest_ids(canvases)]


def test_frames_show_how_far_it_was_written(model):
    made = generate(model, "text", 1, trajectory=(0, 3), steps=4)
    first, last = made.frames[0]
    np.testing.assert_array_equal(last, made.x[0])
    np.testing.assert_array_equal(first[:2], made.x[0, :2])
    assert (first[2:] == 0).all()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"blocks": {"text": "4"}}, "--blocks=4: this model was trained for diffusion.blocks.text=1,8,whole"),
        ({"top_p": 0.0}, r"sampling.top_p=0.0 has to be above 0"),
        ({"blocks": {"text": "1:0.5,8:0.5"}}, "a canvas is made in one order"),
        (
            {"blocks": {"text": "8"}, "temperature": 0.5},
            "--temperature=0.5 is for text that is written letter by letter",
        ),
        ({"guidance": 2.0}, "add --blocks=whole|needs a"),
    ],
)
def test_what_cannot_be_asked(model, how, said):
    with pytest.raises(InputError, match=said):
        generate(model, "text", 1, **how)


def test_infilling_needs_the_whole_canvas(model):
    given = given_text(model.codec, "the cat ____ on")
    with pytest.raises(InputError, match="add --blocks=whole"):
        generate(model, "text", 1, given=given, blocks={"text": "1"})
    made = generate(model, "text", 1, given=given, steps=2)  # of its own accord
    assert texts(model, made.canvases)[0].startswith("the cat ")


def test_scores_that_cannot_be(model):
    with pytest.raises(InputError, match="65 tokens, and a canvas holds 64"):
        model.score("a" * 65)
    with pytest.raises(InputError, match="blocks=4"):
        model.score("a", blocks=4)
    assert model.score(["ab", "c"], blocks=8, num_times=2)[0].shape == (1,)

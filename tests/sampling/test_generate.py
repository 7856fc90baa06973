"""Samples from a workdir: decoded by their tag, the same whatever the batch."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checked import generate
from etils import epath
from filled import filled
from PIL import Image
from untrained import untrained

from pixjax.checkpoints.inspect import describe
from pixjax.checkpoints.load import load
from pixjax.checkpoints.run_files import read_run, write_run
from pixjax.codec import IMAGE, TEXT
from pixjax.errors import InputError, RunError
from pixjax.models import NO_LABEL, NO_TYPE
from pixjax.sampling.checks import require_possible
from pixjax.sampling.generate import _sample
from pixjax.sampling.infill import given_text
from pixjax.sampling.pictures import contact_sheet, grid
from pixjax.sampling.prompts import make_context, read_prompt
from pixjax.sampling.samples import write_samples
from pixjax.training.train import train


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, tiny_config):
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    train(tiny_config(), folder)
    return folder


@pytest.fixture(scope="module")
def denoiser(workdir):
    return load(workdir)


@pytest.mark.parametrize(("wanted", "modality"), [("text", TEXT), ("image", IMAGE)])
def test_a_model_with_a_marker_makes_the_modality_that_is_asked_for(denoiser, wanted, modality):
    made = generate(denoiser, wanted, 3)
    assert made.modality.tolist() == [modality] * 3
    np.testing.assert_allclose(made.modality_margin, 1.0, atol=1e-6)
    np.testing.assert_array_equal(made.canvases[:, 0, 0], 0 if wanted == "text" else 255)


def test_any_is_decoded_by_what_the_marker_of_each_canvas_says(denoiser):
    made = generate(denoiser, "any", 4)
    brightness = made.canvases[:, 0, 0].astype(float).mean(axis=-1)
    np.testing.assert_array_equal(made.modality, np.where(brightness > 127.5, IMAGE, TEXT))


def test_a_sample_does_not_depend_on_how_many_are_made(denoiser):
    many, few = generate(denoiser, "any", 6, seed=3), generate(denoiser, "any", 2, seed=3)
    np.testing.assert_array_equal(many.canvases[:2], few.canvases)
    other = generate(denoiser, "any", 2, seed=4)
    assert (other.canvases != few.canvases).any()


def test_with_a_type_condition_any_draws_the_modality_by_the_text_ratio(tiny_config):
    condition = {"model": {"tagging": "condition"}, "codec": {"marker": False}}
    mixed = untrained(tiny_config(**condition))
    assert set(generate(mixed, "any", 16, steps=1).modality.tolist()) == {TEXT, IMAGE}
    text_only = untrained(tiny_config(**condition, data={"text_ratio": 1.0}))
    assert set(generate(text_only, "any", 4, steps=1).modality.tolist()) == {TEXT}
    with pytest.raises(InputError, match="--modality=image: this model was not trained on it"):
        generate(text_only, "image", 1)


def test_any_draws_by_the_weights_that_the_mixture_has(tiny_config):
    sections = {"model": {"tagging": "condition"}, "codec": {"marker": False}}
    weighted = untrained(tiny_config(**sections, data={"weights": [7.0, 1.0]}))
    assert weighted.text_share == 7 / 8
    made = generate(weighted, "any", 64, steps=1)
    assert 48 <= np.sum(made.modality == TEXT) <= 63


def test_without_a_tag_nothing_tells_the_modalities_apart(tiny_config):
    untagged = {"model": {"tagging": "none"}, "codec": {"marker": False}}
    with pytest.raises(InputError, match="train with a marker or a condition"):
        generate(untrained(tiny_config(**untagged)), "any", 1)
    text_only = untrained(tiny_config(**untagged, data={"sources": ["demo:text"]}))
    assert generate(text_only, "any", 1, steps=1).modality.tolist() == [TEXT]


def test_a_label_is_for_images_alone(tiny_config):
    classes = {"model": {"tagging": "both", "num_classes": 6}}
    labelled = untrained(tiny_config(**classes))
    labelled = dataclasses.replace(labelled, params=filled(labelled.params, 0.2))
    with_label, without = (generate(labelled, "any", 6, steps=1, label=label) for label in (3, -1))
    asked_for_text = np.array([(a == b).all() for a, b in zip(with_label.canvases, without.canvases, strict=True)])
    assert asked_for_text.any()
    assert not asked_for_text.all()
    with pytest.raises(InputError, match="leave it out with --modality=text"):
        generate(labelled, "text", 1, label=3)
    with pytest.raises(InputError, match="--label=6 is not a class"):
        generate(labelled, "image", 1, label=6)


def test_a_sample_is_the_same_in_batches_of_another_size(denoiser):
    together, apart = (generate(denoiser, "any", 5, seed=3, batch_size=size) for size in (8, 2))
    np.testing.assert_allclose(together.x, apart.x, atol=1e-5)


def test_prompts_seeds_and_strengths_share_one_compilation(denoiser):
    generate(denoiser, "text", 2, sampler="stochastic")
    before = _sample._cache_size()
    for number, template in enumerate(("a", "bc")):
        given = given_text(denoiser.codec, template)
        generate(denoiser, "text", 2, sampler="stochastic", given=given, seed=number, churn=0.1 * number, repeats=1)
    generate(denoiser, "image", 2, sampler="stochastic", grid={"text": "edm", "image": "log_snr"})
    assert _sample._cache_size() == before


@pytest.mark.parametrize("sampler", ["heun", "stochastic"])
def test_what_is_given_comes_back_exactly_and_the_rest_does_not_stay_blank(denoiser, sampler):
    codec = denoiser.codec
    given = given_text(codec, "the ____ sat on a ___")
    made = generate(denoiser, "text", 3, given=given, sampler=sampler, repeats=2, stretch=1)
    ids, margin = codec.decode_ids(made.x)
    expected = codec.tokenize("the xxxx sat on a xxx")
    known = np.array([c != "x" for c in "the xxxx sat on a xxx"])
    np.testing.assert_array_equal(ids[:, : len(known)][:, known], np.tile(expected[known], (3, 1)))
    np.testing.assert_allclose(margin[:, : len(known)][:, known], 1.0)
    assert made.modality.tolist() == [TEXT] * 3
    assert len({canvas.tobytes() for canvas in made.x}) == 3
    np.testing.assert_array_equal(made.canvases[:, given.known], np.tile(given.canvas[given.known], (3, 1, 1)))


def test_frames_are_what_the_model_predicted_on_the_way(denoiser):
    made = generate(denoiser, "any", 3, steps=6, sampler="euler", trajectory=(0, 2, 5))
    assert made.frames.shape == (3, 3, 16, 16, 3)
    np.testing.assert_array_equal(made.frames[:, -1], made.x)
    np.testing.assert_allclose(made.frame_times, np.tile([0, 2 / 6, 5 / 6], (3, 1)))
    with pytest.raises(InputError, match="step 6 is not one of the 6 steps: choose 0 to 5"):
        generate(denoiser, "any", 1, steps=6, trajectory=(6,))


def guided(tiny_config, training, **model):
    """A model whose conditions matter."""
    config = tiny_config(model={"tagging": "both", "text_condition": True, **model}, training=training)
    denoiser = untrained(config)
    return dataclasses.replace(denoiser, params=filled(denoiser.params, 0.2))


def test_guidance_leads_away_from_what_is_made_without_the_prompt_the_label_or_the_type(tiny_config):
    """One step: the canvas is what is predicted of noise, guided by definition."""
    dropout = {"type_dropout": 0.1, "label_dropout": 0.1, "context_dropout": 0.1}
    denoiser = guided(tiny_config, dropout, num_classes=2, context_canvases=1)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 2 * i), 0))(jnp.arange(2))
    noise = jax.vmap(lambda key: jax.random.normal(key, (16, 16, 3)))(keys)
    prompt = make_context(denoiser, [read_prompt(denoiser, text="a prompt")] * 2)

    def predicted(modality, label, context):
        return denoiser.denoise(noise, jnp.zeros(2), modality=modality, label=label, context=context)

    for label, context, without in (
        (1, prompt, (IMAGE, 1, None)),
        (1, None, (IMAGE, NO_LABEL, None)),
        (NO_LABEL, None, (NO_TYPE, NO_LABEL, None)),
    ):
        made = generate(denoiser, "image", 2, steps=1, sampler="euler", label=label, context=context, guidance=3.0)
        away = predicted(*without)
        expected = away + 3.0 * (predicted(IMAGE, label, context) - away)
        np.testing.assert_allclose(made.x[:, 1:], expected[:, 1:], atol=1e-3)


@pytest.mark.parametrize(
    ("sections", "arguments", "message"),
    [
        ({}, {}, "needs a condition, and this model has none"),
        ({"model": {"num_classes": 2}, "training": {"label_dropout": 0.0}}, {"label": 1}, "label_dropout above 0"),
        ({"model": {"num_classes": 2}}, {}, "give a --label, or train with training.type_dropout above 0"),
        ({"model": {"context_canvases": 1}}, {}, "give a --prompt, or train with training.type_dropout above 0"),
        (
            {"model": {"context_canvases": 1}, "training": {"context_dropout": 0.0}},
            {"prompted": True},
            "training.context_dropout above 0, it was 0",
        ),
        ({"model": {"tagging": "both"}}, {}, "modality, for which a model is trained without its type"),
    ],
)
def test_guidance_that_was_not_trained_for_is_refused(tiny_config, sections, arguments, message):
    with pytest.raises(InputError, match=message):
        require_possible(untrained(tiny_config(**sections)), "image", guidance=2.0, **arguments)


def test_guidance_of_the_config_is_left_out_where_there_is_nothing_to_guide_toward(tiny_config):
    labelled = untrained(tiny_config(model={"num_classes": 2}, sampling={"guidance": 2.0}))
    assert require_possible(labelled, "text").guidance == 1
    assert require_possible(labelled, "image", 1).guidance == 2


def test_projection_leaves_text_of_legal_colours_and_images_as_they_are(denoiser):
    for wanted, same in (("text", False), ("image", True)):
        plain, projected = (generate(denoiser, wanted, 2, sampler="euler", project_from=start) for start in (1.0, 0.4))
        assert np.array_equal(plain.x, projected.x) == same
    assert denoiser.codec.decode_ids(generate(denoiser, "text", 2, steps=30, project_from=0.4).x)[1].mean() > 0.99


def test_a_model_that_sees_its_earlier_prediction_is_given_it(tiny_config):
    denoiser = guided(tiny_config, {}, self_condition=True)
    blind = dict(
        denoiser.params, embed_previous={"kernel": jnp.zeros_like(denoiser.params["embed_previous"]["kernel"])}
    )
    sees, does_not = (generate(d, "text", 1) for d in (denoiser, dataclasses.replace(denoiser, params=blind)))
    assert np.abs(sees.x - does_not.x).max() > 1e-3
    first = [generate(d, "text", 1, steps=1) for d in (denoiser, dataclasses.replace(denoiser, params=blind))]
    np.testing.assert_array_equal(first[0].x, first[1].x)  # before the first there is none


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "ddpm"}, "sampling.sampler='ddpm' is unknown: choose one of heun, euler, dpm.., stochastic"),
        ({"stpes": 3}, "unknown config key 'sampling.stpes': did you mean 'sampling.steps'"),
        ({"guidance_interval": (0.9, 0.1)}, "is no interval of time"),
        ({"churn": 2.0}, r"sampling.churn=2.0 has to be between 0 and 1"),
        ({"asymmetry": 1.0}, "has no meaning for heun"),
        ({"grid": {"text": "cosine"}}, "grid 'cosine' is unknown"),
    ],
)
def test_wrong_settings_are_refused(denoiser, changes, message):
    with pytest.raises(InputError, match=message):
        generate(denoiser, "any", 1, **changes)


def test_written_samples_decode_to_what_their_line_says(denoiser, tmp_path):
    made = generate(denoiser, "any", 4)
    made = dataclasses.replace(made, modality=np.array([TEXT, IMAGE, IMAGE, TEXT]))
    rows = write_samples(tmp_path, made, denoiser.codec)
    assert [json.loads(line) for line in (tmp_path / "text.jsonl").read_text().splitlines()] == rows
    assert [row["index"] for row in rows] == [0, 3]
    assert rows[0]["text"] == denoiser.codec.decode(made.canvases[:1]).text
    assert rows[0]["token_ids"] == denoiser.codec.decode(made.canvases[:1]).token_ids[0].tolist()
    assert rows[0]["margin"] == pytest.approx(denoiser.codec.decode_ids(made.x[0])[1].mean())
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["0001.png", "0002.png"]
    one = dataclasses.replace(made, canvases=made.canvases[:1], modality=made.modality[:1])
    write_samples(tmp_path / "again", made, denoiser.codec)
    write_samples(tmp_path / "again", one, denoiser.codec)
    assert [p.name for p in (tmp_path / "again").rglob("0*.png")] == ["0000.png"]  # nothing of the larger sample stays
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images" / "0001.png")), made.canvases[1])


def test_grid_shows_every_pixel_sharp(denoiser):
    canvases = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    sheet = np.asarray(grid(canvases, columns=2))
    second = sheet[6 : 6 + 128, 6 + 128 + 6 : 6 + 128 + 6 + 128]
    np.testing.assert_array_equal(second[::8, ::8], canvases[1])


def test_contact_sheet_has_a_row_a_canvas(denoiser):
    sheet = contact_sheet(denoiser, np.zeros((2, 16, 16, 3), np.uint8), np.array([TEXT, IMAGE]))
    assert sheet.height == 2 * (128 + 6) + 6 + 16


def test_denoise_refuses_conditions_the_model_was_not_built_for(denoiser):
    z, t = jnp.zeros((1, 16, 16, 3)), jnp.array([0.5])
    with pytest.raises(InputError, match="z is uint8: give floats"):
        denoiser.denoise(z.astype(jnp.uint8), t)
    with pytest.raises(InputError, match=r"give \[batch, 16, 16, 3\]"):
        denoiser.denoise(jnp.zeros((1, 8, 8, 3)), t)
    for condition in ({"modality": TEXT}, {"label": 1}, {"context": z}):
        with pytest.raises(InputError, match=r"leave .* out"):
            denoiser.denoise(z, t, **condition)


def test_inspect_counts_what_is_stored(workdir, denoiser):
    found = describe(workdir)
    assert found["steps"] == [3, 6]
    assert found["parameters"] == sum(x.size for x in jax.tree.leaves(denoiser.params))
    assert found["codec"]["tokens per canvas"] == 16 * 16 - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"ema": "0.123"}, "--ema=0.123 is not kept"), ({"step": 5}, "no checkpoint at step 5: it has 3, 6")],
)
def test_what_is_not_in_the_workdir_is_refused(workdir, arguments, message):
    with pytest.raises(InputError, match=message):
        load(workdir, **arguments)


def test_a_workdir_without_a_checkpoint_says_so(workdir, tmp_path):
    with pytest.raises(InputError, match=r"is not a workdir, it has no config\.json"):
        load(tmp_path)
    write_run(tmp_path, *read_run(workdir))
    with pytest.raises(InputError, match="has no checkpoint: train there first"):
        load(tmp_path)


def test_a_checkpoint_with_a_missing_file_is_said_to_be_damaged(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "copy")
    for file in (tmp_path / "copy" / "checkpoints" / "6" / "ema_0.9").glob("manifest*"):
        file.unlink()
    with pytest.raises(RunError, match=r"checkpoint 6 in .* is damaged .*pixjax train falls back to an older one"):
        load(tmp_path / "copy")


def test_an_older_step_and_the_raw_parameters_can_be_loaded(workdir):
    older, raw = load(workdir, step=3), load(workdir, ema="none")
    assert older.step == 3
    assert (raw.params["out"]["kernel"] != load(workdir).params["out"]["kernel"]).any()

"""A marker that is decided first tells all that a type condition tells, in training and wherever a model is asked."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checked import generate
from filled import filled
from untrained import untrained

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.config import Config
from pixjax.errors import InputError
from pixjax.evaluation.denoising import denoising_curves
from pixjax.evaluation.evaluate import TaggedPredictor
from pixjax.evaluation.likelihood import evaluate_likelihood
from pixjax.evaluation.order_likelihood import evaluate_order
from pixjax.models import predict, tell
from pixjax.training.metrics import add_up, averages
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

MODEL = {
    "canvas_size": 8, "patch_size": "1x4", "depth": 1, "width": 16, "heads": 1, "codebook_head": True,
    "codebook_input": True, "cell_layers": 1, "cell_width": 8, "cell_reach": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def config_of(tiny_config):
    def make(tagging="marker", **diffusion) -> Config:
        return tiny_config(
            model=MODEL | {"tagging": tagging},
            codec={"marker": True, "layout": "raster"},
            data={"batch_size": 16},
            diffusion={"marker_first": 1.0} | diffusion,
        )

    return make


@pytest.fixture(scope="module")
def by_marker(config_of):
    start = untrained(config_of(blocks={"text": "1:0.4,8:0.3,whole:0.3"}))
    return dataclasses.replace(start, params=filled(start.params, 0.3))


@pytest.fixture(scope="module")
def by_both(config_of, by_marker):
    """The same network with a type embedding that says nothing: it goes by the type condition too."""
    start = untrained(config_of("both", blocks={"text": "1:0.4,8:0.3,whole:0.3"}))
    return dataclasses.replace(start, params=by_marker.params | {"type_embedding": start.params["type_embedding"]})


def text_canvases(codec, num=4):
    canvases = codec.encode_ids(np.random.default_rng(0).integers(0, 27, (num, codec.capacity)))
    return canvases, np.ones(canvases.shape[:3], bool)


def image_canvases(codec, num=4):
    canvases = codec.mark(np.random.default_rng(1).integers(0, 256, (num, 8, 8, 3)).astype(np.uint8), IMAGE)
    return canvases, np.ones(canvases.shape[:3], bool)


def test_a_black_marker_without_noise_is_text_and_no_other(by_marker):
    z = jax.random.normal(jax.random.key(0), (3, 8, 8, 3))
    black, white = (by_marker.codec.mark(z[:1], modality) for modality in (TEXT, IMAGE))
    z = jnp.concatenate([black, white, z[2:]])
    found = jax.jit(predict, static_argnums=0)(by_marker.model, by_marker.params, z, jnp.full(3, 0.4))
    means = by_marker.model.palette.mean(found.log_probs)
    is_text = [bool((x_hat == mean).all()) for x_hat, mean in zip(found.x_hat, means, strict=True)]
    assert is_text == [True, False, False]


def test_what_a_known_modality_is_told_by(config_of):
    z, modality = jnp.full((2, 8, 8, 3), 0.5), jnp.array([TEXT, IMAGE])
    codec = CanvasCodec(**config_of().codec_arguments())
    told, type_id = tell(config_of(), codec, z, modality)
    np.testing.assert_array_equal(told[:, 0, 0], [[-1] * 3, [1] * 3])
    np.testing.assert_array_equal(told[:, 1:], z[:, 1:])
    assert type_id.tolist() == [-1, -1]
    unmarked, _ = tell(config_of("both", marker_first=0.0), codec, z, modality)
    np.testing.assert_array_equal(unmarked, z)


@pytest.mark.parametrize("modality", ["text", "image", "any"])
@pytest.mark.parametrize("blocks", ["1", "whole"])
def test_samples_are_those_of_a_type_condition(by_marker, by_both, modality, blocks):
    made, expected = (generate(m, modality, 6, steps=2, blocks={"text": blocks}) for m in (by_marker, by_both))
    np.testing.assert_allclose(made.x, expected.x, atol=1e-5)
    np.testing.assert_array_equal(made.modality, expected.modality)
    np.testing.assert_allclose(made.modality_margin, 1.0, atol=1e-5)  # painted, and never touched again
    wanted = {"text": {TEXT}, "image": {IMAGE}, "any": {TEXT, IMAGE}}[modality]
    assert set(made.modality) == wanted


def test_the_share_of_text_among_any_is_that_of_training(by_marker):
    some = dataclasses.replace(by_marker, text_share=0.9)
    made = generate(some, "any", 40, steps=1, blocks={"text": "whole"})
    assert np.mean(made.modality == TEXT) == pytest.approx(0.9, abs=0.12)


def test_figures_are_those_of_a_type_condition(by_marker, by_both):
    text, image = text_canvases(by_marker.codec), image_canvases(by_marker.codec)
    for canvases, modality in ((text, TEXT), (image, IMAGE)):
        found, expected = (
            evaluate_likelihood(m, canvases, modality, validation=canvases, num_times=2, endpoints=(0.0, 4.0))
            for m in (by_marker, by_both)
        )
        assert found["bits_per_dim"] == pytest.approx(expected["bits_per_dim"], rel=1e-5)
    found, expected = (evaluate_order(m, text, "1", validation=text) for m in (by_marker, by_both))
    assert found["bits_per_char"] == pytest.approx(expected["bits_per_char"], rel=1e-5)
    curves = [
        denoising_curves(
            jax.tree_util.Partial(TaggedPredictor(m), m.params), m.codec, text[0], np.full(4, TEXT), text[1],
            times=(0.3, 0.8), noise_scale=1.0,
        )
        for m in (by_marker, by_both)
    ]  # fmt: skip
    np.testing.assert_allclose(curves[0]["token_accuracy/text"], curves[1]["token_accuracy/text"])


def first_step(config, batch):
    model, optimizer = make_model(config), make_optimizer(config.training)
    step = make_train_step(config, CanvasCodec(**config.codec_arguments()), model, optimizer)
    _, metrics = jax.jit(lambda batch: step(init_state(config, model, optimizer), batch))(batch)
    return averages(add_up({}, [jax.device_get(metrics)]))


@pytest.fixture(scope="module")
def batch(config_of):
    codec = CanvasCodec(**config_of().codec_arguments())
    (text, text_mask), (image, image_mask) = text_canvases(codec, 8), image_canvases(codec, 8)
    return {
        "canvas": np.stack([text, image], axis=1).reshape(16, 8, 8, 3),
        "loss_mask": np.stack([text_mask, image_mask], axis=1).reshape(16, 8, 8),
        "modality": np.tile(np.int32([TEXT, IMAGE]), 8),
        "label": np.full(16, -1, np.int32),
    }


@pytest.fixture(scope="module")
def first(config_of, batch):
    """The figures of a first step with a marker that is given and that is not."""
    return {share: first_step(config_of(marker_first=share), batch) for share in (1.0, 1e-6)}


def test_in_training_text_is_known_by_a_marker_that_is_first(config_of, batch, first):
    """At the start the head says the matched filter, and the pixel head mid-gray."""
    marker, both = first[1.0], first_step(config_of("both"), batch)
    assert marker == pytest.approx(both, rel=1e-5)
    assert marker["loss/text"] < np.log(27)
    assert first[1e-6]["token_accuracy/text"] < 0.5 * marker["token_accuracy/text"]


def test_a_marker_that_is_given_is_not_learned(batch, first):
    """Of images at the start x_hat is mid-gray: squared errors are those of the data, and a marker's is 1."""
    inside = np.square(to_float(batch["canvas"][1::2])).mean(axis=-1)
    assert first[1e-6]["x_mse/image"] == pytest.approx(inside.mean(), rel=1e-4)
    without = (inside.sum() - 8 * 1.0) / (inside.size - 8)
    assert first[1.0]["x_mse/image"] == pytest.approx(without, rel=1e-4)


def test_what_does_not_fit_is_refused(config_of, tiny_config):
    with pytest.raises(InputError, match=r"diffusion.marker_first=1.0 needs a marker"):
        tiny_config(model={"tagging": "condition"}, codec={"marker": False}, diffusion={"marker_first": 1.0})
    with pytest.raises(InputError, match=r"diffusion.marker_first=1.5"):
        config_of(marker_first=1.5)

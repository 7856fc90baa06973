"""What the page offers follows from the model; what it does not, it explains in the words of the command."""

import pytest

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec
from pixjax.data import text_share
from pixjax.errors import InputError
from pixjax.training.mesh import make_mesh
from pixjax.training.state import make_model
from pixjax.ui.controls import PAGE, controls_of


def denoiser_of(config) -> Denoiser:
    """Without parameters: nothing is computed."""
    return Denoiser(
        config=config, codec=CanvasCodec(**config.codec_arguments()), step=0, model=make_model(config), params={},
        mesh=make_mesh(config.training.mesh), text_share=text_share(config),
    )  # fmt: skip


def test_a_model_with_a_marker_alone_is_prompted_and_guided_by_nothing(tiny_config):
    controls = controls_of(denoiser_of(tiny_config()))
    assert controls.modalities == ("any", "text", "image")
    assert next(option for option in PAGE if option.name == "sampler").asked.choices == (
        "heun", "euler", "dpm++", "stochastic",
    )  # fmt: skip
    assert controls.averages == ("0.9", "0.5", "none")
    assert controls.reasons["prompt"].startswith("--prompt: this model was trained without context")
    assert "needs a condition, and this model has none" in controls.reasons["guidance"]
    assert controls.reasons["label"] == "--label=0 is not a class of this model: it has none, model.num_classes=0"
    assert controls.reasons["infill"] == controls.reasons["modality"] == ""


def test_a_model_of_images_alone_is_not_asked_for_text(tiny_config):
    controls = controls_of(denoiser_of(tiny_config(data={"sources": ["demo:images"]}, model={"num_classes": 6})))
    assert controls.modalities == ("any", "image")
    assert "--modality=text: this model was not trained on it" in controls.reasons["modality"]
    assert controls.reasons["infill"] == controls.reasons["modality"]
    assert controls.reasons["label"] == controls.reasons["guidance"] == ""  # toward a label


def test_with_context_there_are_prompts_and_guidance_toward_them(tiny_config):
    sections = {"model": {"context_canvases": 1}, "data": {"context_pages": 1}}
    controls = controls_of(denoiser_of(tiny_config(**sections)))
    assert controls.reasons["prompt"] == controls.reasons["guidance"] == ""
    always = controls_of(denoiser_of(tiny_config(**sections, training={"context_dropout": 0.0})))
    assert "guides toward a modality" in always.reasons["guidance"]


def test_a_model_whose_canvases_nobody_can_tell_apart_is_refused(tiny_config):
    config = tiny_config(model={"tagging": "none"}, codec={"marker": False})
    with pytest.raises(InputError, match="nothing tells what it makes"):
        controls_of(denoiser_of(config))

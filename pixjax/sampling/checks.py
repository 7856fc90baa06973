"""Checks of a request against a model: every refusal, once, before anything is computed or written."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, Modality
from pixjax.config import SampledBlocksConfig, SamplingConfig
from pixjax.data.labels import class_name
from pixjax.diffusion import WHOLE
from pixjax.errors import InputError
from pixjax.models import NO_LABEL
from pixjax.sampling.infill import KnownPixels
from pixjax.sampling.request import ModalityChoice


def class_number(denoiser: Denoiser, label: int | str) -> int:
    """The number of a class, by its number or its name. Raises `InputError` for a name that the run has not."""
    try:
        return int(label)
    except ValueError:
        pass
    names = tuple(name and class_name(name) for name in denoiser.class_names)
    label = class_name(label)
    if label in names:
        if names.count(label) > 1:
            numbers = " and ".join(str(number) for number, name in enumerate(names) if name == label)
            raise InputError(f"--label={label} is the name of several classes, {numbers}: give the number of one")
        return names.index(label)
    near = difflib.get_close_matches(label, [name for name in names if name], n=3, cutoff=0)
    known = (
        f"choose a name such as {', '.join(near)}, or a number" if near else "its classes have no names, give a number"
    )
    raise InputError(f"--label={label} is not a class of this model: {known}")


def require_possible(
    denoiser: Denoiser,
    modality: ModalityChoice,
    label: int = NO_LABEL,
    *,
    given: KnownPixels | None = None,
    prompted: bool = False,
    trajectory: Sequence[int] = (),
    **changes: Any,
) -> SamplingConfig:
    """The settings that `generate` works with.

    Args:
      prompted: that there is a context.
      changes: keys of `config.sampling` that are to be another than there, for instance `steps=10`.

    Raises:
      InputError: a modality that the model was not trained on or cannot be asked for, a label it does not have,
        guidance it was not trained for, or a wrong key or value of `sampling`.
    """
    model = denoiser.config.model
    settings = denoiser.config.sampling.changed(**changes)
    if label != NO_LABEL and modality == "text":
        raise InputError(f"--label={label} is a class of natural images: leave it out with --modality=text")
    if label != NO_LABEL and not 0 <= label < model.num_classes:
        known = f"0 to {model.num_classes - 1}" if model.num_classes else "none, model.num_classes=0"
        raise InputError(f"--label={label} is not a class of this model: it has {known}")
    if modality != "any" and Modality.of(modality) not in denoiser.modalities:
        raise InputError(
            f"--modality={modality}: this model was not trained on it, data.sources={denoiser.config.data.sources}"
        )
    if model.tagging == "none" and len(denoiser.modalities) > 1:
        raise InputError(
            "this model was trained on text and images with model.tagging='none', so nothing tells what it makes: "
            "train with a marker or a condition"
        )
    if given is not None and given.canvas.shape[0] != model.canvas_size:
        raise InputError(
            f"a canvas of {given.canvas.shape[0]} pixels is given, and the model's have {model.canvas_size}"
        )
    if given is not None and (modality == "any" or given.modality != Modality.of(modality)):
        raise InputError(f"--modality={modality} is not that of what is filled in: leave it out")
    if wrong := [step for step in trajectory if not 0 <= step < settings.steps]:
        raise InputError(f"step {wrong[0]} is not one of the {settings.steps} steps: choose 0 to {settings.steps - 1}")
    if settings.project_from < 1 and model.codebook_head:
        raise InputError(
            f"sampling.project_from={settings.project_from} draws colours toward legal ones, and a text head says "
            "the mean legal colour already: leave it at 1"
        )
    settings = dataclasses.replace(settings, blocks=_possible_blocks(denoiser, modality, settings, given, changes))
    has_direction = prompted or label != NO_LABEL or denoiser.config.training.type_dropout > 0
    if settings.guidance != 1 and ("guidance" in changes or has_direction):
        _require_guidance(denoiser, prompted, label, settings.guidance)
    # What the config says of guidance holds where there is something to guide toward.
    return settings if has_direction else dataclasses.replace(settings, guidance=1.0)


def _possible_blocks(
    denoiser: Denoiser,
    modality: ModalityChoice,
    settings: SamplingConfig,
    given: KnownPixels | None,
    changes: Mapping[str, Any],
) -> SampledBlocksConfig:
    """The order in which text is made: what is asked for, or the first that the model was trained for."""
    trained = list(denoiser.config.diffusion.blocks.shares)
    name = settings.blocks.text or trained[0]
    if given is not None and name != WHOLE and not settings.blocks.text and WHOLE in trained:
        name = WHOLE
    if name not in trained:
        raise InputError(f"--blocks={name}: this model was trained for diffusion.blocks.text={','.join(trained)}")
    if given is not None and given.modality == TEXT and name != WHOLE:
        raise InputError(
            f"--infill with --blocks={name}: what is given may stand after what is filled in, which only canvases that "
            f"are decided as a whole heed: {'add --blocks=whole' if WHOLE in trained else 'this model knows none'}"
        )
    for key in ("temperature", "top_p"):
        if key in changes and name != "1" and modality != "image":
            flag = f"--{key.replace('_', '-')}={getattr(settings, key)}"
            raise InputError(
                f"{flag} is for text that is written letter by letter, not for --blocks={name}: leave it out"
            )
    if name != WHOLE and modality != "image" and settings.guidance != 1 and "guidance" in changes:
        remedy = "add --blocks=whole" if WHOLE in trained else "leave it out, as this model knows no other text"
        raise InputError(f"--guidance={settings.guidance} leads canvases that are decided as a whole: {remedy}")
    return SampledBlocksConfig(text=name)


def _require_guidance(denoiser: Denoiser, prompted: bool, label: int, scale: float) -> None:
    """Guidance compares with what the model makes when a condition is hidden, which it has to have been trained on."""
    model, training = denoiser.config.model, denoiser.config.training
    if prompted:
        if not training.context_dropout:
            raise InputError(
                f"--guidance={scale} toward a prompt needs a model that was trained without its context at times: "
                "train with training.context_dropout above 0, it was 0"
            )
        return
    if not (model.num_classes or model.uses_condition or model.context_canvases):
        raise InputError(
            f"--guidance={scale} needs a condition, and this model has none (no classes, no context, "
            f"model.tagging={model.tagging!r}): to guide toward a modality, train with model.tagging='both', "
            "model.text_condition=True and training.type_dropout above 0"
        )
    if label != NO_LABEL and not training.label_dropout:
        raise InputError(
            f"--guidance={scale} toward --label={label} needs a model that was trained without its label at times: "
            "train with training.label_dropout above 0, it was 0"
        )
    if label == NO_LABEL and not training.type_dropout:
        options = ["give a --label"] * bool(model.num_classes and training.label_dropout)
        options += ["give a --prompt"] * bool(model.context_canvases and training.context_dropout)
        options += ["train with training.type_dropout above 0, it was 0"]
        raise InputError(
            f"--guidance={scale} without a label or a prompt guides toward a modality, for which a model is trained "
            f"without its type at times: {', or '.join(options)}"
        )

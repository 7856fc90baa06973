"""What the page may offer with a model, and why it refuses the rest; and what is filled in, as a request."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from pixjax.checkpoints.load import Denoiser, load
from pixjax.config import SamplingConfig
from pixjax.errors import InputError
from pixjax.sampling.checks import ModalityChoice, require_possible
from pixjax.sampling.prompts import require_context
from pixjax.sampling.request import SampleRequest


class Averages:
    """Called with the name of an average, it loads that one unless it has it already; all are of one checkpoint."""

    def __init__(self, workdir: str, step: int | None = None):
        """Loads the first average. Raises `InputError` and `RunError` as `load` does; `step` None is the newest."""
        self._workdir = workdir
        self.current = load(workdir, step=step)
        self._name = str(self.current.config.training.ema_decays[0])

    def __call__(self, name: str) -> Denoiser:
        if name != self._name:
            self.current = load(self._workdir, ema=name, step=self.current.step)
            self._name = name
        return self.current


_MODALITIES: tuple[ModalityChoice, ...] = get_args(ModalityChoice)
_GUIDED = 2.0  # any scale but 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Choices, the first of `modalities` and `averages` chosen; and reasons, empty for what the model can be asked.

    A reason is the sentence with which `pixjax sample` would refuse.
    """

    modalities: tuple[ModalityChoice, ...]
    averages: tuple[str, ...]
    samplers: tuple[str, ...]
    sampling: SamplingConfig  # what the model's config starts from
    no_modality: str  # of those that are missing
    no_prompt: str
    no_infill: str
    no_label: str
    no_guidance: str


def controls_of(denoiser: Denoiser) -> Controls:
    """Raises `InputError` for a model that cannot be sampled at all."""
    require_possible(denoiser, "any")
    refused = {choice: _refusal(require_possible, denoiser, choice) for choice in _MODALITIES}
    no_prompt = _refusal(require_context, denoiser, "--prompt")
    no_label = _refusal(require_possible, denoiser, "any", 0)
    guided = [_refusal(require_possible, denoiser, "any", guidance=_GUIDED)]
    if not no_prompt:
        guided.append(_refusal(require_possible, denoiser, "any", prompted=True, guidance=_GUIDED))
    if not no_label:
        guided.append(_refusal(require_possible, denoiser, "any", 0, guidance=_GUIDED))
    return Controls(
        modalities=tuple(choice for choice in ("any", "text", "image") if not refused[choice]),
        averages=(*map(str, denoiser.config.training.ema_decays), "none"),
        samplers=get_args(get_type_hints(SamplingConfig)["sampler"]),
        sampling=denoiser.config.sampling,
        no_modality=" ".join(filter(None, refused.values())),
        no_prompt=no_prompt,
        no_infill=refused["text"],
        no_label=no_label,
        no_guidance=guided[0] if all(guided) else "",
    )


def _refusal(require: Callable, *asked: Any, **changes: Any) -> str:
    try:
        require(*asked, **changes)
    except InputError as error:
        return str(error)
    return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """The fields of the page, None where one is empty."""

    modality: ModalityChoice
    prompt: str | None
    prompt_image: str | None  # a path
    infill: str | None
    seed: float | None
    sampler: str
    steps: float | None
    guidance: float | None
    label: float | None  # -1 is none

    def request(self, sampling: SamplingConfig) -> SampleRequest:
        """Raises `InputError` for numbers that are missing or wrong; `sampling` is the config's."""
        changes: dict[str, Any] = {"sampler": self.sampler, "steps": _whole("--steps", self.steps)}
        if self.guidance is not None and self.guidance != sampling.guidance:
            changes["guidance"] = float(self.guidance)  # else what the config says, where there is a condition
        return SampleRequest(
            modality=self.modality,
            prompt=self.prompt or None,
            prompt_image=self.prompt_image or None,
            infill=self.infill or None,
            seed=_whole("--seed", self.seed),
            label=_whole("--label", self.label),
            changes=changes,
        )


def _whole(name: str, value: float | None) -> int:
    if value is None or value != int(value):
        raise InputError(f"{name} is {'empty' if value is None else value}: give a whole number")
    return int(value)

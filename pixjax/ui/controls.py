"""Controls of the page: what it offers with a model, why it refuses the rest, and the request that is filled in."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pixjax.checkpoints.load import Denoiser, load
from pixjax.config import SamplingConfig
from pixjax.errors import InputError
from pixjax.sampling.checks import require_possible
from pixjax.sampling.prompts import require_context
from pixjax.sampling.request import ModalityChoice, SampleRequest, options


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


PAGE = tuple(option for option in options() if option.asked.page)  # what is asked for there


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Choices, the first of `modalities` and `averages` chosen; and reasons, by option, why a model cannot be asked.

    A reason is the sentence with which `pixjax sample` would refuse; empty for what can be asked. That of `modality` is
    of those that are missing.
    """

    modalities: tuple[ModalityChoice, ...]
    averages: tuple[str, ...]
    sampling: SamplingConfig  # what the model's config starts from
    reasons: Mapping[str, str]


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
        sampling=denoiser.config.sampling,
        reasons={
            "modality": " ".join(filter(None, refused.values())),
            "prompt": no_prompt,
            "prompt_image": no_prompt,
            "infill": refused["text"],
            "label": no_label,
            "guidance": guided[0] if all(guided) else "",
        },
    )


def _refusal(require: Callable, *asked: Any, **changes: Any) -> str:
    try:
        require(*asked, **changes)
    except InputError as error:
        return str(error)
    return ""


def request_of(filled: Mapping[str, Any], sampling: SamplingConfig) -> SampleRequest:
    """What is filled in, by option; None or the empty text where a field is empty.

    What is as in `sampling`, the config's, is left to it: guidance holds there only where there is a condition. Raises
    `InputError` for whole numbers that are missing or wrong, and for what `SampleRequest` refuses.
    """
    values: dict[str, Any] = {
        option.name: _whole(option.flag, filled[option.name]) if option.types[0] is int else filled[option.name]
        for option in PAGE
    }
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return SampleRequest(**{name: value for name, value in given.items() if value != getattr(sampling, name, None)})


def _whole(name: str, value: float | None) -> int:
    if value is None or value != int(value):
        raise InputError(f"{name} is {'empty' if value is None else value}: give a whole number")
    return int(value)

"""What the page may offer with a model: the choices, where they start, and why the rest is not served."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from pixjax.checkpoints.load import Denoiser
from pixjax.config import SamplingConfig
from pixjax.errors import InputError
from pixjax.sampling.checks import Wanted, require_possible
from pixjax.sampling.prompts import require_context

_MODALITIES: tuple[Wanted, ...] = get_args(Wanted)
_GUIDED = 2.0  # any scale but 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Controls:
    """Choices, the first of `modalities` and `averages` chosen; and reasons, empty for what the model can be asked.

    A reason is the sentence with which `pixjax sample` would refuse.
    """

    modalities: tuple[Wanted, ...]
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
    refused = {wanted: _refusal(require_possible, denoiser, wanted) for wanted in _MODALITIES}
    no_prompt = _refusal(require_context, denoiser, "--prompt")
    no_label = _refusal(require_possible, denoiser, "any", 0)
    guided = [_refusal(require_possible, denoiser, "any", guidance=_GUIDED)]
    if not no_prompt:
        guided.append(_refusal(require_possible, denoiser, "any", prompted=True, guidance=_GUIDED))
    if not no_label:
        guided.append(_refusal(require_possible, denoiser, "any", 0, guidance=_GUIDED))
    return Controls(
        modalities=tuple(wanted for wanted in ("any", "text", "image") if not refused[wanted]),
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

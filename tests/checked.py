"""Canvases as they are made of a request: checked, and then generated."""

from collections.abc import Sequence
from typing import Any

from pixjax.checkpoints.load import Denoiser
from pixjax.models import NO_LABEL, Context
from pixjax.sampling.checks import require_possible
from pixjax.sampling.generate import Generated
from pixjax.sampling.generate import generate as generate_unchecked
from pixjax.sampling.infill import KnownPixels
from pixjax.sampling.request import ModalityChoice


def generate(
    denoiser: Denoiser,
    modality: ModalityChoice,
    num: int,
    *,
    seed: int = 0,
    label: int = NO_LABEL,
    given: KnownPixels | None = None,
    context: Context | None = None,
    trajectory: Sequence[int] = (),
    **changes: Any,
) -> Generated:
    """`changes` are keys of `config.sampling`, for instance `steps=10`."""
    asked = {"label": label, "given": given, "trajectory": trajectory}
    settings = require_possible(denoiser, modality, prompted=context is not None, **asked, **changes)
    return generate_unchecked(denoiser, modality, num, settings=settings, seed=seed, context=context, **asked)

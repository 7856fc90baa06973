"""What is filled in on the page, as a request."""

import dataclasses
from typing import Any

from pixjax.config import SamplingConfig
from pixjax.errors import InputError
from pixjax.sampling.checks import Wanted
from pixjax.sampling.request import Request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """The fields of the page, None where one is empty."""

    modality: Wanted
    prompt: str | None
    prompt_image: str | None  # a path
    infill: str | None
    seed: float | None
    sampler: str
    steps: float | None
    guidance: float | None
    label: float | None  # -1 is none

    def request(self, sampling: SamplingConfig) -> Request:
        """Raises `InputError` for numbers that are missing or wrong; `sampling` is the config's."""
        changes: dict[str, Any] = {"sampler": self.sampler, "steps": _whole("--steps", self.steps)}
        if self.guidance is not None and self.guidance != sampling.guidance:
            changes["guidance"] = float(self.guidance)  # else what the config says, where there is a condition
        return Request(
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

"""A request for samples: the options of `pixjax sample`, of its page and of `pixjax.sample`, each defined once.

The flags of the command and the form of the page are made of the fields of `SampleRequest`, which checks what it is
given. It imports nothing heavy, so that `pixjax sample --help` answers at once.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pixjax.config import SamplingConfig, known_keys, require_seed
from pixjax.config_values import unknown_key
from pixjax.errors import InputError

MOST_CANVASES = 10_000_000  # of one call

ModalityChoice = Literal["text", "image", "any"]
Path = str | os.PathLike

SAMPLERS: tuple[str, ...] = get_args(get_type_hints(SamplingConfig)["sampler"])
GROUPS = {
    "how": "each is the config's unless given: pixjax/config/sampling.py",
    "filling in": "what is given comes back exactly, the rest is generated",
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """How a person is asked for a field of `SampleRequest`."""

    help: str
    metavar: str | None = None
    group: Literal["", "how", "filling in"] = ""
    flag: str | None = None  # the name of the field unless given; empty: only in Python
    alone: str | None = None  # what the flag means without a value
    choices: tuple[str, ...] = ()
    page: str = ""  # its label on the page, where those without one are not asked for
    example: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """A field of `SampleRequest`, and how a person is asked for it."""

    name: str
    types: tuple[Any, ...]  # of its values, that of the page first
    default: Any
    asked: Asked

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}" if self.asked.flag is None else self.asked.flag

    @property
    def parse(self) -> Callable[[str], Any]:
        """What reads the value of its flag."""
        return self.types[0] if self.types[0] in (int, float) and str not in self.types else str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """What is asked of a model. Raises `InputError` for what no model could do.

    Fields that are keys of `config.sampling` are the config's where they are None; they may be written as the flags
    are, a grid as TEXT,IMAGE for one each, an interval as FROM,TO.
    """

    modality: Annotated[
        ModalityChoice,
        Asked("any: each canvas's tag decides", choices=get_args(ModalityChoice), page="Modality"),
    ] = "any"
    num: Annotated[int, Asked("how many canvases", "N")] = 16
    seed: Annotated[int, Asked("sample i depends on the seed and i alone", page="Seed")] = 0
    prompt: Annotated[
        str | None, Asked("what to answer, or to go on from (a model with context)", "TEXT", page="Prompt")
    ] = None
    prompt_image: Annotated[
        Path | None, Asked("a picture to answer; with --prompt, it comes first", "FILE", page="Prompt image")
    ] = None
    pages: Annotated[int, Asked("of each text, every page conditioned on the one before", "N")] = 1
    label: Annotated[int | str, Asked("class of a natural image, its number or its name; -1: none", page="Label")] = -1
    trajectory: Annotated[
        str | None,
        Asked(
            "also trajectory.png and .gif: the clean prediction at these steps, as in 0,10,49; eight without a value",
            "STEPS",
            alone="even",
        ),
    ] = None

    sampler: Annotated[str | None, Asked(", ".join(SAMPLERS), "NAME", "how", choices=SAMPLERS, page="Sampler")] = None
    steps: Annotated[int | None, Asked("from noise to canvas", "N", "how", page="Steps")] = None
    batch_size: Annotated[int | None, Asked("canvases denoised at once", flag="")] = None
    grid: Annotated[
        str | Mapping[str, str] | None,
        Asked(
            "of times: uniform, log_snr[:MIN:MAX] or edm[:SIGMA_MIN:SIGMA_MAX[:RHO]]; TEXT,IMAGE for one each",
            "GRID",
            "how",
        ),
    ] = None
    blocks: Annotated[
        str | int | Mapping[str, str] | None,
        Asked("cells of text decided together: 1 is letter by letter, or whole", "N", "how"),
    ] = None
    temperature: Annotated[float | None, Asked("letter by letter: 0 is always the likeliest", "T", "how")] = None
    top_p: Annotated[float | None, Asked("letter by letter: of the likeliest ids alone", "SHARE", "how")] = None
    churn: Annotated[float | None, Asked("of noise drawn anew by the stochastic sampler", "SHARE", "how")] = None
    asymmetry: Annotated[float | None, Asked("that canvases run ahead of the time told", "STEPS", "how")] = None
    guidance: Annotated[
        float | None, Asked("toward the prompt, the label or the modality; 1: none", "SCALE", "how", page="Guidance")
    ] = None
    guidance_interval: Annotated[
        str | tuple[float, ...] | None, Asked("times between which guidance holds", "FROM,TO", "how")
    ] = None
    project_from: Annotated[
        float | None, Asked("from this time draw text toward legal colours", "T", "how", flag="--project")
    ] = None
    project_strength: Annotated[float | None, Asked("how far: 1 is all the way", "SHARE", "how")] = None

    infill: Annotated[
        str | None,
        Asked(
            "each _ is one unknown token, and so is all after the end",
            "TEXT",
            "filling in",
            page="Fill in",
            example="The ____ sat on the ____",
        ),
    ] = None
    blank: Annotated[
        str,
        Asked(
            "that stands for an unknown token in --infill, for a text with underscores of its own: --blank='#'",
            "CHARACTER",
            "filling in",
        ),
    ] = "_"
    infill_image: Annotated[
        Path | None, Asked("an image, of which --mask says what is to be made anew", "FILE", "filling in")
    ] = None
    mask: Annotated[
        Path | None, Asked("an image of the same size: white is made anew, black is kept", "FILE", "filling in")
    ] = None
    repeats: Annotated[int | None, Asked("walk each stretch so often (RePaint's resampling)", "N", "filling in")] = None
    stretch: Annotated[int | None, Asked("steps of a stretch", "N", "filling in")] = None

    def __post_init__(self):
        require_seed(self.seed)
        if self.num < 1:
            raise InputError(f"--num={self.num} is too few: at least one canvas")
        if self.num > MOST_CANVASES:
            raise InputError(f"--num={self.num} is too many: at most {MOST_CANVASES}, and more by another --seed")
        if self.pages < 1:
            raise InputError(f"--pages={self.pages} has to be 1 or more")
        if self.pages > 1 and self.modality != "text":
            raise InputError(f"--pages={self.pages} is for text: add --modality=text")
        if self.pages > 1 and (self.infill or self.infill_image or self.trajectory is not None):
            raise InputError(f"--pages={self.pages} goes with neither --infill nor --trajectory: leave them out")
        if (self.infill_image is None) != (self.mask is None):
            raise InputError("--infill-image and --mask go together: one says what is known, the other where")
        if self.infill is not None and self.infill_image is not None:
            raise InputError("--infill fills in a text and --infill-image an image: give one of them")
        if isinstance(self.grid, str):
            of_text, _, of_image = self.grid.partition(",")
            object.__setattr__(self, "grid", {"text": of_text, "image": of_image or of_text})
        if isinstance(self.blocks, str | int):
            object.__setattr__(self, "blocks", {"text": str(self.blocks)})
        if isinstance(interval := self.guidance_interval, str):
            try:
                object.__setattr__(self, "guidance_interval", tuple(float(time) for time in interval.split(",")))
            except ValueError:
                raise InputError(f"--guidance-interval={interval} is no interval: write 0.1,0.9") from None

    @property
    def changes(self) -> dict[str, Any]:
        """The keys of `config.sampling` that are to be another than there."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(SamplingConfig)}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def of(cls, **options: Any) -> "SampleRequest":
        """A request by the names of its options. Raises `InputError` for an unknown one, naming the nearest key."""
        if unknown := options.keys() - {field.name for field in dataclasses.fields(cls)}:
            raise InputError(unknown_key(f"sampling.{min(unknown)}", known_keys()))
        return cls(**options)


def options() -> tuple[Option, ...]:
    """The options of a `SampleRequest`, in its order."""
    hints = get_type_hints(SampleRequest, include_extras=True)
    found = []
    for field in dataclasses.fields(SampleRequest):
        kind, asked = get_args(hints[field.name])
        found.append(Option(name=field.name, types=get_args(kind) or (kind,), default=field.default, asked=asked))
    return tuple(found)

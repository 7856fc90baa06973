"""A request in the words of a person, and the canvases that answer it: what `pixjax sample` and its page share."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import Modality
from pixjax.config import require_seed
from pixjax.data.source import Part
from pixjax.errors import InputError
from pixjax.models import NO_LABEL
from pixjax.sampling.checks import ModalityChoice, class_number, require_possible
from pixjax.sampling.generate import generate
from pixjax.sampling.infill import KnownPixels, given_image, given_text
from pixjax.sampling.pictures import chosen_steps
from pixjax.sampling.prompts import generate_pages, make_context, read_prompt, require_pages
from pixjax.sampling.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """What is asked for: the flags of `pixjax sample`, by their names. Raises `InputError` for what no model could do.

    changes: keys of `config.sampling` that are to be another than there; a grid may be a text, TEXT,IMAGE for one each.
    """

    modality: ModalityChoice = "any"
    num: int = 1
    pages: int = 1
    seed: int = 0
    label: int | str = NO_LABEL  # a name of a class stands for its number
    prompt: str | None = None
    prompt_image: str | os.PathLike | None = None
    infill: str | None = None
    blank: str = "_"
    infill_image: str | os.PathLike | None = None
    mask: str | os.PathLike | None = None
    trajectory: str | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        require_seed(self.seed)
        if self.num < 1:
            raise InputError(f"--num={self.num} is too few: at least one canvas")
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
        if isinstance(both := self.changes.get("grid"), str):
            of_text, _, of_image = both.partition(",")
            grid = {"text": of_text, "image": of_image or of_text}
            object.__setattr__(self, "changes", {**self.changes, "grid": grid})
        if isinstance(name := self.changes.get("blocks"), str | int):
            object.__setattr__(self, "changes", {**self.changes, "blocks": {"text": str(name)}})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PreparedRequest:
    """A request that a model can serve, its texts and files read."""

    request: SampleRequest
    label: int
    modality: ModalityChoice
    prompt: tuple[Part, ...]
    given: KnownPixels | None
    trajectory: tuple[int, ...]  # the steps, from 0, of the frames


def sample(
    model: Denoiser,
    modality: int | str = "any",
    num: int = 16,
    *,
    prompt: str | None = None,
    seed: int = 0,
    pages: int = 1,
    label: int | str = NO_LABEL,
    prompt_image: str | os.PathLike | None = None,
    infill: str | None = None,
    blank: str = "_",
    infill_image: str | os.PathLike | None = None,
    mask: str | os.PathLike | None = None,
    trajectory: str | Sequence[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
    **sampling: Any,
) -> Samples:
    """Makes canvases with a model, as `pixjax sample` does: its flags are these arguments, which errors name so.

    Sample i depends on (seed, i) alone.

    Args:
      model: of `pixjax.load`.
      modality: a `Modality` or its name; `any`: the tag of each canvas decides.
      prompt: a text to answer, or to go on from, for a model with context.
      pages: of each text, every page conditioned on the one before.
      label: the class of natural images, by name or number; -1 is none.
      prompt_image: a picture file to answer, before the prompt.
      infill: a text in which each `blank` is one unknown token, as all after its end.
      infill_image: a picture file, of which `mask`, a file of the same size, says in white what is to be made anew.
      trajectory: steps, from 0, of which the clean prediction is kept, or `even` for eight of them.
      stop: asked between two batches; when it says so, the samples that are made so far are returned.
      progress: told after each batch how many canvases there are.
      sampling: keys of `config.sampling` that are to be another than there, for instance `steps=20`.

    Raises:
      InputError: what this model cannot do, or a file, a key or a value that is wrong; before anything is computed.
    """
    if not isinstance(model, Denoiser):
        raise InputError(f"model is a {type(model).__name__}: give what pixjax.load returns")
    request = SampleRequest(
        modality=_modality_choice(modality),
        num=num,
        pages=pages,
        seed=seed,
        label=label,
        prompt=prompt,
        prompt_image=prompt_image,
        infill=infill,
        blank=blank,
        infill_image=infill_image,
        mask=mask,
        trajectory=trajectory if trajectory is None or isinstance(trajectory, str) else ",".join(map(str, trajectory)),
        changes=sampling,
    )
    return run_request(model, prepare(model, request), stop=stop, progress=progress)


def _modality_choice(modality: Any) -> ModalityChoice:
    names: dict[str, ModalityChoice] = {"any": "any", "text": "text", "image": "image"}
    name = str(Modality.of(modality)) if isinstance(modality, int | np.integer) else modality
    if not isinstance(name, str) or name not in names:
        raise InputError(f"modality={modality!r} is unknown: choose one of {', '.join(names)}")
    return names[name]


def prepare(denoiser: Denoiser, request: SampleRequest) -> PreparedRequest:
    """Reads what is asked for, before anything is computed or written.

    Raises:
      InputError: what this model cannot do, or a file or a value that is wrong.
      OSError: a file of `infill_image` or `mask` that cannot be read.
    """
    modality, given = request.modality, None
    if request.infill is not None:
        given = given_text(denoiser.codec, request.infill, request.blank)
        modality = "text" if modality == "any" else modality
    elif request.infill_image is not None and request.mask is not None:
        given = given_image(request.infill_image, request.mask, denoiser.config.model.canvas_size)
        modality = "image" if modality == "any" else modality
    steps = denoiser.config.sampling.changed(**request.changes).steps
    trajectory = chosen_steps(request.trajectory, steps) if request.trajectory is not None else ()
    prompt = read_prompt(denoiser, text=request.prompt, image=request.prompt_image)
    prompted = bool(prompt) or request.pages > 1
    asked: dict[str, Any] = {"given": given, "trajectory": trajectory, "prompted": prompted, **request.changes}
    label = class_number(denoiser, request.label)
    require_possible(denoiser, modality, label, **asked)
    if request.pages > 1:
        require_pages(denoiser)
    return PreparedRequest(
        request=request, label=label, modality=modality, prompt=prompt, given=given, trajectory=trajectory
    )


def run_request(
    denoiser: Denoiser,
    prepared: PreparedRequest,
    *,
    context_canvases: int = 0,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
) -> Samples:
    """The canvases of a request.

    Args:
      context_canvases: that a prompt is given, so that prompts of any length share one program; 0: as many as it needs.
      stop: asked between two batches; when it says so, what is made so far is returned.
      progress: told after each batch how many canvases there are.
    """
    request = prepared.request
    watching: dict[str, Any] = {"seed": request.seed, "stop": stop, "progress": progress}
    if request.pages > 1:
        pages = generate_pages(
            denoiser, request.num, request.pages, prompt=prepared.prompt, **watching, **request.changes
        )
        return Samples(pages=tuple(pages), codec=denoiser.codec, num=request.num, num_pages=request.pages)
    context = make_context(denoiser, [prepared.prompt] * request.num, context_canvases if prepared.prompt else 0)
    made = generate(
        denoiser,
        prepared.modality,
        request.num,
        label=prepared.label,
        given=prepared.given,
        context=context,
        trajectory=prepared.trajectory,
        **watching,
        **request.changes,
    )
    return Samples(pages=(made,), codec=denoiser.codec, num=request.num, trajectory=prepared.trajectory)

"""From a request to samples, for `pixjax sample`, its page and `pixjax.sample`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import Modality
from pixjax.config import SamplingConfig
from pixjax.data.source import Part
from pixjax.errors import InputError
from pixjax.sampling.checks import class_number, require_possible
from pixjax.sampling.generate import generate
from pixjax.sampling.infill import KnownPixels, given_image, given_text
from pixjax.sampling.pictures import chosen_steps
from pixjax.sampling.prompts import generate_pages, make_context, read_prompt, require_pages
from pixjax.sampling.request import ModalityChoice, SampleRequest
from pixjax.sampling.samples import Samples


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PreparedRequest:
    """A request that a model can serve, its texts and files read. `prepare` alone makes one."""

    request: SampleRequest
    label: int
    modality: ModalityChoice
    prompt: tuple[Part, ...]
    given: KnownPixels | None
    trajectory: tuple[int, ...]  # the steps, from 0, of the frames
    settings: SamplingConfig


def sample(
    model: Denoiser,
    modality: int | str = "any",
    num: int = 16,
    *,
    trajectory: str | Sequence[int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
    **options: Any,
) -> Samples:
    """Makes canvases with a model, as `pixjax sample` does: its flags are these arguments, which errors name so.

    Sample i depends on (seed, i) alone.

    Args:
      model: of `pixjax.load`.
      modality: a `Modality` or its name; `any`: the tag of each canvas decides.
      trajectory: steps, from 0, of which the clean prediction is kept, or `even` for eight of them.
      stop: asked between two batches; when it says so, the samples that are made so far are returned.
      progress: told after each batch how many canvases there are.
      options: the other flags that `pixjax sample --help` explains, with underscores: `seed`, `prompt`, `prompt_image`,
        `pages`, `label`, `infill`, `blank`, `infill_image`, `mask`; and keys of `config.sampling` that are to be
        another than there, for instance `steps=20`.

    Raises:
      InputError: what this model cannot do, or a file, a key or a value that is wrong; before anything is computed.
    """
    if not isinstance(model, Denoiser):
        raise InputError(f"model is a {type(model).__name__}: give what pixjax.load returns")
    if trajectory is not None and not isinstance(trajectory, str):
        trajectory = ",".join(map(str, trajectory))
    request = SampleRequest.of(modality=_modality_choice(modality), num=num, trajectory=trajectory, **options)
    return run_request(model, prepare(model, request), stop=stop, progress=progress)


def _modality_choice(modality: Any) -> ModalityChoice:
    names: dict[str, ModalityChoice] = {"any": "any", "text": "text", "image": "image"}
    name = str(Modality.of(modality)) if isinstance(modality, int | np.integer) else modality
    if not isinstance(name, str) or name not in names:
        raise InputError(f"modality={modality!r} is unknown: choose one of {', '.join(names)}")
    return names[name]


def prepare(denoiser: Denoiser, request: SampleRequest) -> PreparedRequest:
    """Reads and checks what is asked for, before anything is computed or written: the command, its page and
    `pixjax.sample` all come by here, and nothing is checked later.

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
    settings = require_possible(denoiser, modality, label, **asked)
    if request.pages > 1:
        require_pages(denoiser)
    return PreparedRequest(
        request=request,
        label=label,
        modality=modality,
        prompt=prompt,
        given=given,
        trajectory=trajectory,
        settings=settings,
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
    how: dict[str, Any] = {"settings": prepared.settings, "seed": request.seed, "stop": stop, "progress": progress}
    if request.pages > 1:
        pages = generate_pages(denoiser, request.num, request.pages, prompt=prepared.prompt, **how)
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
        **how,
    )
    return Samples(pages=(made,), codec=denoiser.codec, num=request.num, trajectory=prepared.trajectory)

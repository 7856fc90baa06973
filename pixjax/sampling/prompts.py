"""Prompts at sampling: texts and pictures, or the page before, onto the canvases of a context."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec, to_float
from pixjax.codec.coverage import TRAIN_ON_BYTES, warn_lost
from pixjax.config import SamplingConfig
from pixjax.data.context import MIDDLE, empty_context, paint_context
from pixjax.data.images import BadImage, decode_image
from pixjax.data.keys import fold
from pixjax.data.source import Part, Picture
from pixjax.data.token_stream import same_document
from pixjax.errors import InputError
from pixjax.models import Context
from pixjax.paths import reachable_path
from pixjax.sampling.generate import Generated, generate


def read_prompt(
    denoiser: Denoiser, *, text: str | None = None, image: str | os.PathLike | None = None
) -> tuple[Part, ...]:
    """What is to be asked: the picture of a file, and a text after it; None and the empty text are none.

    Raises:
      InputError: a model without context, more than its context holds, or a file that is no picture.
    """
    config, codec = denoiser.config.model, denoiser.codec
    options = " and ".join(name for name, value in (("--prompt-image", image), ("--prompt", text)) if value is not None)
    if options:
        require_context(denoiser, options)
    prompt: list[Part] = [] if image is None else [_read_picture(image, config.canvas_size)]
    room = config.context_canvases - len(prompt)
    if text:
        try:
            ids = codec.tokenize(text)
        except InputError as error:
            raise InputError(f"--prompt: {error}") from None
        warn_lost(codec.text_tokenizer, text, "--prompt", TRAIN_ON_BYTES)
        if len(ids) > room * codec.capacity:
            most = max(room, 0) * codec.capacity
            taken = ", less one for --prompt-image" if prompt else ""
            remedies = ["shorten it"] * bool(most) + ["leave one of the two out"] * bool(prompt)
            raise InputError(
                f"--prompt has {len(ids):,} token{'s'[: len(ids) > 1]}, and the context of this model holds {most:,} "
                f"({codec.capacity:,} a canvas, model.context_canvases={config.context_canvases}{taken}): "
                f"{', or '.join(remedies)}"
            )
        prompt.append(ids)
    return tuple(prompt)


def require_context(denoiser: Denoiser, options: str) -> None:
    """Raises `InputError` for a model without context; `options` names what needs one."""
    if not denoiser.config.model.context_canvases:
        raise InputError(
            f"{options}: this model was trained without context (model.context_canvases=0): leave it out, or train "
            "with --config=context64"
        )


def make_context(denoiser: Denoiser, prompts: Sequence[Sequence[Part]], canvases: int = 0) -> Context | None:
    """The context of as many samples as there are prompts.

    canvases: of each; 0: as many as the longest prompt needs, and None where all are empty.
    """
    config, codec = denoiser.config.model, denoiser.codec
    fields = empty_context(len(prompts), canvases or config.context_canvases, config.canvas_size)
    paint_context(fields, range(len(prompts)), prompts, [MIDDLE] * len(prompts), codec)
    present = fields["context_present"]
    canvases = canvases or int(present.sum(axis=1).max(initial=0))
    if not canvases:
        return None
    return Context(
        canvases=jnp.asarray(to_float(fields["context"][:, :canvases])),
        present=jnp.asarray(present[:, :canvases]),
        modality=jnp.asarray(fields["context_modality"][:, :canvases]),
    )


def _read_picture(file: str | os.PathLike, size: int) -> Picture:
    try:
        return Picture(decode_image(reachable_path(file, "--prompt-image").read_bytes(), size))
    except OSError as error:
        raise InputError(f"--prompt-image={file} cannot be read ({error.strerror}): check the path") from None
    except BadImage as bad:
        raise InputError(f"--prompt-image={file} is no picture that can be used ({bad.cause}: {bad.detail})") from None


def generate_pages(
    denoiser: Denoiser,
    num: int,
    pages: int,
    *,
    settings: SamplingConfig,
    prompt: tuple[Part, ...] = (),
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
) -> list[Generated]:
    """Page by page, the pages of all `num` texts. The context of a page is what training gave one: as many tokens of
    the same document before it as fit on `data.context_pages` canvases. The first page has the prompt.

    Args:
      settings: of `require_possible`, for a model that `require_pages` lets pass.
      stop: asked between two batches; when it says so, the pages that are made so far are returned.
      progress: told after each batch how many pages there are, of all texts.
    """
    canvases, codec = denoiser.config.data.context_pages, denoiser.codec
    size = denoiser.config.model.context_canvases  # one shape for all pages, hence one compilation
    prompts: list[tuple[Part, ...]] = [prompt] * num
    histories = [np.concatenate([np.zeros(0, np.int32), *(p for p in prompt if not isinstance(p, Picture))])] * num
    made: list[Generated] = []
    for page in range(pages):
        context = make_context(denoiser, prompts, size)
        page_seed = int(fold(seed, page) >> np.uint64(33)) if page else seed  # no two pages share their noise
        how: dict[str, Any] = {"settings": settings, "seed": page_seed, "context": context, "stop": stop}
        how["progress"] = lambda count, before=page * num: progress(before + count)
        made.append(generate(denoiser, "text", num, **how))
        if stop():
            break
        histories = [
            _history(before, codec.decode_ids(canvas)[0], codec, canvases)
            for before, canvas in zip(histories, made[-1].canvases, strict=True)
        ]
        prompts = [(ids,) if len(ids) else () for ids in histories]
    return made


def _history(
    before: Int[np.ndarray, "_"], page: Int[np.ndarray, "capacity"], codec: CanvasCodec, canvases: int
) -> Int[np.ndarray, "_"]:
    """What of the tokens so far conditions the next page."""
    ids = np.concatenate([before, page])
    if codec.pad_id != codec.eos_id:
        ids = ids[ids != codec.pad_id]
    return same_document(ids[-canvases * codec.capacity :], codec)


def require_pages(denoiser: Denoiser) -> None:
    """Raises `InputError` for a model that was not trained on pages."""
    if not denoiser.config.data.context_pages:
        raise InputError(
            "--pages: this model was not trained to go on from the page before (data.context_pages=0): leave it out, "
            "or train with data.context_pages=1 and text sources"
        )

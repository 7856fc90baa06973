"""Text of any length: page after page, each conditioned on what comes before it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec
from pixjax.data.keys import fold
from pixjax.data.source import Part, Picture
from pixjax.data.token_stream import same_document
from pixjax.errors import InputError
from pixjax.sampling.generate import Generated, generate
from pixjax.sampling.prompts import make_context


def generate_pages(
    denoiser: Denoiser,
    num: int,
    pages: int,
    *,
    prompt: tuple[Part, ...] = (),
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
    **options: Any,
) -> list[Generated]:
    """Page by page, the pages of all `num` texts. The context of a page is what training gave one: as many tokens of
    the same document before it as fit on `data.context_pages` canvases. The first page has the prompt.

    Args:
      options: of `generate`.
      stop: asked between two batches; when it says so, the pages that are made so far are returned.
      progress: told after each batch how many pages there are, of all texts.

    Raises:
      InputError: a model that was not trained on pages, or what `generate` refuses.
    """
    require_pages(denoiser)
    canvases, codec = denoiser.config.data.context_pages, denoiser.codec
    size = denoiser.config.model.context_canvases  # one shape for all pages, hence one compilation
    prompts: list[tuple[Part, ...]] = [prompt] * num
    histories = [np.concatenate([np.zeros(0, np.int32), *(p for p in prompt if not isinstance(p, Picture))])] * num
    made: list[Generated] = []
    for page in range(pages):
        context = make_context(denoiser, prompts, size)
        page_seed = int(fold(seed, page) >> np.uint64(33)) if page else seed  # no two pages share their noise
        options["progress"] = lambda count, before=page * num: progress(before + count)
        made.append(generate(denoiser, "text", num, seed=page_seed, context=context, stop=stop, **options))
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
    """Raises the `InputError` that `generate_pages` would, before anything is computed or written."""
    if not denoiser.config.data.context_pages:
        raise InputError(
            "--pages: this model was not trained to go on from the page before (data.context_pages=0): leave it out, "
            "or train with data.context_pages=1 and text sources"
        )

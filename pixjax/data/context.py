"""The context of a batch: prompts on clean canvases, in the order in which they are read."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.data.images import crop_into
from pixjax.data.source import Part, Picture

CONTEXT_FIELDS = ("context", "context_present", "context_modality")

Fields = dict[str, np.ndarray]
Crop = tuple[float, bool]  # how far along the long side of a picture, and whether it is mirrored

MIDDLE: Crop = (0.5, False)


def empty_context(rows: int, canvases: int, canvas_size: int) -> Fields:
    """`context` uint8 [rows, canvases, H, W, 3], `context_present` bool and `context_modality` int32 [rows, canvases],
    the last -1 where there is none.
    """
    return {
        "context": np.zeros((rows, canvases, canvas_size, canvas_size, 3), np.uint8),
        "context_present": np.zeros((rows, canvases), bool),
        "context_modality": np.full((rows, canvases), -1, np.int32),
    }


def paint_context(
    fields: Fields,
    rows: Sequence[int] | Int[np.ndarray, " rows"],
    prompts: Sequence[Sequence[Part]],
    crops: Sequence[Crop],
    codec: CanvasCodec,
) -> None:
    """Writes the prompts onto these rows of the fields of `empty_context`: each picture on a canvas of its own, each
    text on as many as it needs. What is beyond the last canvas is cut.
    """
    canvases, modality = fields["context"], fields["context_modality"]
    room = canvases.shape[1]
    pages, places = [], []
    for row, prompt, (across, flip) in zip(rows, prompts, crops, strict=True):
        used = 0
        for part in prompt:
            if not isinstance(part, Picture):
                of_part = codec.pack(part)[: room - used]
                pages += list(of_part)
                places += [(row, used + page) for page in range(len(of_part))]
                used += len(of_part)
            elif used < room:
                crop_into(canvases[row, used], part.pixels, across, flip)
                canvases[row, used] = codec.mark(canvases[row, used], IMAGE)
                modality[row, used] = IMAGE
                used += 1
    if pages:
        at = tuple(np.array(places).T)
        canvases[at] = codec.encode_ids(np.stack(pages))
        modality[at] = TEXT
    fields["context_present"][rows] = modality[rows] >= 0

"""Where a canvas becomes text: the nearest legal ids of its cells, and what they say."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, Shaped

from pixjax.codec.bulk import BulkPainter
from pixjax.codec.cells import Cells
from pixjax.codec.color import ColorCode
from pixjax.codec.scale import is_uint8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """What canvases say.

    text: all text canvases read as one stream, documents separated by a blank line.
    documents: the same stream, split at EOS.
    texts: what each canvas says by itself; empty for a natural image.
    margin, modality_margin: 1 is perfect, 0 is a tie. Without a marker every canvas is text, with a modality
    margin of 0.
    """

    text: str
    documents: tuple[str, ...]
    texts: tuple[str, ...]
    token_ids: Int[np.ndarray, "n capacity"]
    margin: Float[np.ndarray, "n capacity"]
    modality: Int[np.ndarray, "n"]
    modality_margin: Float[np.ndarray, "n"]


def read_ids(
    canvases: Shaped[np.ndarray, "*batch height width 3"], code: ColorCode, cells: Cells, painter: BulkPainter
) -> tuple[Int[np.ndarray, "*batch capacity"], Float[np.ndarray, "*batch capacity"]]:
    """Nearest legal ids and margins of uint8 canvases or of floats in [-1, 1]: those of `ColorCode.decode`, faster."""
    flat = canvases.reshape(-1, *canvases.shape[-3:])
    ids, margin = (np.empty((len(flat), len(cells.index)), dtype) for dtype in (np.int32, np.float32))
    if is_uint8(canvases):
        ids, margin[:] = painter.nearest_ids(flat), 1
        rest = np.flatnonzero(~painter.are_painted(flat, ids))  # none, usually, of the canvases of a file
    else:
        rest = np.arange(len(flat))
    for i in rest:  # a canvas at a time: what is intermediate then stays in the cache
        colors = cells.read(flat[i])
        where = (code.palette[ids[i]] != colors).any(axis=(-2, -1)) if is_uint8(canvases) else slice(None)
        ids[i, where], margin[i, where] = code.decode(colors[where])
    shape = *canvases.shape[:-3], len(cells.index)
    return ids.reshape(shape), margin.reshape(shape)

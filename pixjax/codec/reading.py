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
    ids = np.empty((*canvases.shape[:-3], len(cells.index)), np.int32)
    margin = np.empty(ids.shape, np.float32)
    # A canvas at a time: what is intermediate then stays in the cache.
    for where in np.ndindex(*canvases.shape[:-3]):
        ids[where], margin[where] = _read_canvas(canvases[where], code, cells, painter)
    return ids, margin


def _read_canvas(
    canvas: Shaped[np.ndarray, "height width 3"], code: ColorCode, cells: Cells, painter: BulkPainter
) -> tuple[np.ndarray, np.ndarray]:
    if not is_uint8(canvas):
        return code.decode(cells.read(canvas))
    ids = painter.nearest_ids(canvas[None])[0]
    margin = np.ones(len(ids), np.float32)
    if np.array_equal(painter.paint(ids[None])[0], canvas):  # as it was painted: the usual case for a file
        return ids, margin
    colors = cells.read(canvas)
    noisy = (code.palette[ids] != colors).any(axis=(-2, -1))
    ids[noisy], margin[noisy] = code.decode(colors[noisy])
    return ids, margin

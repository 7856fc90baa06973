"""The cells of a canvas: which pixels carry the tokens, and what is painted on them or read from them."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from pixjax.codec.scale import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """Cell i lies at the flat pixels `index[i]` (row · canvas_size + column) of a square canvas. NumPy or JAX."""

    index: Int[np.ndarray, "capacity pixels"]
    canvas_size: int

    def read(self, x: Shaped[Array, "*batch height width 3"]) -> Shaped[Array, "*batch capacity pixels 3"]:
        """The colours of all cells."""
        return x.reshape(*x.shape[:-3], self.canvas_size**2, 3)[..., self.index, :]

    def paint(self, colors: UInt8[Array, "*batch capacity pixels 3"]) -> UInt8[Array, "*batch height width 3"]:
        """The canvas of these colours; what is no cell is black, as is the marker of text."""
        xp = colors.__array_namespace__()
        batch = colors.shape[:-3]
        black = xp.zeros((*batch, 1, 3), xp.uint8)
        canvas = xp.concatenate([colors.reshape(*batch, -1, 3), black], axis=-2)[..., self._source_of_pixel, :]
        return canvas.reshape(*batch, self.canvas_size, self.canvas_size, 3)

    def mask(self, counted: Bool[Array, "*batch capacity"]) -> Bool[Array, "*batch height width"]:
        """The pixels of these cells."""
        xp = counted.__array_namespace__()
        cells = xp.repeat(counted, self.index.shape[1], axis=-1)
        nothing = xp.zeros((*counted.shape[:-1], 1), bool)
        mask = xp.concatenate([cells, nothing], axis=-1)[..., self._source_of_pixel]
        return mask.reshape(*counted.shape[:-1], self.canvas_size, self.canvas_size)

    @functools.cached_property
    def _source_of_pixel(self) -> Int[np.ndarray, "area"]:
        """For every pixel its place in the stream of cells; the one after the last where there is none."""
        source = np.full(self.canvas_size**2, self.index.size, np.int32)
        source[self.index.reshape(-1)] = np.arange(self.index.size, dtype=np.int32)
        return source

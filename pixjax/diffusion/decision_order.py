"""The order in which the cells of a text canvas are decided: block by block, in reading order.

While a block goes from noise to data, the blocks before it are clean and those after it pure noise. A block of one cell
is reading order, letter by letter; the whole canvas at once is no `DecisionOrder` but None.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int

from pixjax.codec import CanvasCodec
from pixjax.errors import InputError

WHOLE = "whole"


@dataclasses.dataclass(frozen=True)
class DecisionOrder:
    """The static part of a decision order. Two are equal when they decide the same canvases alike.

    Raises:
      InputError: patches that are no runs of the text, or a block that fits neither patch nor canvas.
    """

    block: int  # places, counted along the text; the marker and the cells beside it share the first block
    codec: CanvasCodec
    patch: tuple[int, int]

    @classmethod
    def named(cls, name: str, codec: CanvasCodec, patch: tuple[int, int]) -> "DecisionOrder | None":
        """The order that `diffusion.blocks` names by a number of cells; None for the whole canvas."""
        return None if name == WHOLE else cls(int(name), codec, patch)

    def __post_init__(self):
        cells, places = self.cells_per_patch, self.num_places
        if not 0 < self.block < places or (cells % self.block and self.block % cells):
            raise InputError(
                f"blocks of {self.block} cells do not fit patches of {cells} and canvases of {places}: choose a "
                f"divisor or a multiple of {cells} that is less than {places}, or whole"
            )

    @functools.cached_property
    def patch_of_cell(self) -> Int[np.ndarray, " cells"]:
        size, (height, width) = self.codec.canvas_size, self.patch
        rows, columns = np.divmod(self.codec.cell_index, size)
        patches = rows // height * (size // width) + columns // width
        is_run = np.all(patches == patches[:, :1]) and np.all(np.diff(patches[:, 0]) >= 0)
        if not is_run:
            raise InputError(
                f"with codec.layout={self.codec.layout!r} patches of {height}x{width} pixels are no runs of the text, "
                "so that canvases can be decided as a whole alone: set codec.layout='patch', or patches one pixel high"
            )
        return patches[:, 0]

    @functools.cached_property
    def cells_per_patch(self) -> int:
        return int(np.bincount(self.patch_of_cell).max())

    @property
    def num_places(self) -> int:
        """Along the text: the cells of a canvas, were there no marker."""
        size, (height, width) = self.codec.canvas_size, self.patch
        return size // height * (size // width) * self.cells_per_patch

    @functools.cached_property
    def place_of_cell(self) -> Int[np.ndarray, " cells"]:
        """A marker takes the first places of its patch."""
        patch = self.patch_of_cell
        in_patch = np.arange(len(patch)) - np.searchsorted(patch, patch)
        in_first = np.count_nonzero(patch == 0)
        taken = np.where(patch == 0, self.cells_per_patch - in_first, 0) if in_first else 0
        return patch * self.cells_per_patch + in_patch + taken

    @functools.cached_property
    def block_of_cell(self) -> Int[np.ndarray, " cells"]:
        return self.place_of_cell // self.block

    @functools.cached_property
    def block_of_pixel(self) -> Int[np.ndarray, " pixels"]:
        """The block of each pixel of a canvas; -1 where no cell is, which is known: the marker, and black."""
        block = np.full(self.codec.canvas_size**2, -1)
        block[self.codec.cell_index] = self.block_of_cell[:, None]
        return block

    @property
    def num_blocks(self) -> int:
        return -(-self.num_places // self.block)

    @property
    def is_within_patches(self) -> bool:
        """Whether patches are decided in parts: then the transformer is shown the patches before alone."""
        return self.block < self.cells_per_patch

    def tap(self, distance: int) -> tuple[Bool[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]:
        """For each cell, whether the one at this distance lies in the same block, and whether in an earlier one."""
        block = self.block_of_cell
        other = np.arange(len(block)) + distance
        there = (other >= 0) & (other < len(block))
        of_other = block[np.clip(other, 0, len(block) - 1)]
        return there & (of_other == block), there & (of_other < block)

    def visible_patches(self) -> Bool[np.ndarray, "tokens tokens"]:
        """Which tokens (rows) see which (columns).

        Of blocks within patches: one clean stream, in which each patch sees itself and those before. Of larger blocks:
        the noisy patches, then the clean ones. A noisy patch sees those of its own block, and clean ones of earlier
        blocks; a clean one sees clean ones up to its own block, and nothing noisy.
        """
        patches = self.num_places // self.cells_per_patch
        if self.is_within_patches:
            return np.tri(patches, dtype=bool)
        block = np.arange(patches) * self.cells_per_patch // self.block
        seen, seeing = block[None, :], block[:, None]
        return np.block([[seen == seeing, seen < seeing], [np.zeros((patches, patches), bool), seen <= seeing]])

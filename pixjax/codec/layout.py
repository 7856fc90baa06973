"""The layout of a canvas: the order in which its pixels are filled, and so the place of each cell."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Int

from pixjax.errors import InputError

Layout = Literal["raster", "patch"]


def cell_pixels(
    *, layout: str, canvas_size: int, patch: tuple[int, int], pixels: int, marker_size: int
) -> Int[np.ndarray, "capacity pixels"]:
    """The flat pixel index (row · canvas_size + column) of every pixel of every cell, in reading order.

    `raster` runs along the rows. `patch` fills all the pixels of one patch, (height, width) pixels large,
    before the next, and no cell straddles two patches. The `marker_size` x `marker_size` pixels at the top
    left belong to no cell; neither do the pixels left over at the end of the canvas, or of a patch, when they
    are fewer than a cell.

    Raises `InputError` for an unknown layout, a patch that does not divide the canvas, or no room for a
    single cell.
    """
    if layout not in get_args(Layout):
        raise InputError(f"layout {layout!r} is unknown: choose raster or patch")
    index = np.arange(canvas_size * canvas_size, dtype=np.int32).reshape(canvas_size, canvas_size)
    if layout == "patch":
        height, width = patch
        if canvas_size % height or canvas_size % width:
            raise InputError(f"patch {height}x{width} does not divide a canvas of {canvas_size}: choose one that does")
        if pixels > height * width:
            raise InputError(
                f"a code of {pixels} pixels does not fit into a patch of {height}x{width}: "
                "choose fewer pixels, a larger patch, or layout raster"
            )
        rows, columns = canvas_size // height, canvas_size // width
        runs = index.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(-1, height * width)
    else:
        runs = index.reshape(1, -1)
    free = [run[(run // canvas_size >= marker_size) | (run % canvas_size >= marker_size)] for run in runs]
    cells = np.concatenate([run[: len(run) // pixels * pixels].reshape(-1, pixels) for run in free])
    if not len(cells):
        raise InputError(f"a canvas of {canvas_size} has no room for a cell of {pixels} pixels: choose a larger canvas")
    return cells

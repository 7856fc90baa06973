"""Cells cover the canvas in the promised order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import CanvasCodec
from pixjax.codec.layout import cell_pixels
from pixjax.errors import InputError

SIDES = {8: (1, 2, 4, 8), 12: (1, 2, 3, 4, 6, 12), 16: (1, 2, 4, 8, 16)}


@st.composite
def geometries(draw):
    size = draw(st.sampled_from(list(SIDES)))
    patch = (draw(st.sampled_from(SIDES[size])), draw(st.sampled_from(SIDES[size])))
    pixels = draw(st.integers(1, patch[0] * patch[1]))
    marker = draw(st.integers(0, 3))
    layout = draw(st.sampled_from(["raster", "patch"]))
    return {"layout": layout, "canvas_size": size, "patch": patch, "pixels": pixels, "marker_size": marker}


@settings(max_examples=200, deadline=None)
@given(geometry=geometries())
def test_cells_are_disjoint_and_leave_the_marker_alone(geometry):
    try:
        cells = cell_pixels(**geometry)
    except InputError as error:
        assert "no room" in str(error)  # noqa: PT017
        return
    size, marker = geometry["canvas_size"], geometry["marker_size"]
    row, column = np.divmod(cells, size)
    assert len(np.unique(cells)) == cells.size
    assert cells.max() < size * size
    assert not ((row < marker) & (column < marker)).any()


@settings(max_examples=200, deadline=None)
@given(geometry=geometries())
def test_no_cell_straddles_a_patch_and_patches_are_filled_in_turn(geometry):
    geometry |= {"layout": "patch", "marker_size": 0}
    cells = cell_pixels(**geometry)
    (height, width), size = geometry["patch"], geometry["canvas_size"]
    row, column = np.divmod(cells, size)
    patch = row // height * (size // width) + column // width
    assert (patch == patch[:, :1]).all()
    assert (np.diff(patch[:, 0]) >= 0).all()
    assert len(cells) == size**2 // (height * width) * (height * width // geometry["pixels"])


def test_raster_runs_along_the_rows():
    cells = cell_pixels(layout="raster", canvas_size=4, patch=(2, 2), pixels=3, marker_size=1)
    assert cells.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]]


def test_patch_fills_one_patch_before_the_next():
    cells = cell_pixels(layout="patch", canvas_size=4, patch=(2, 2), pixels=2, marker_size=0)
    assert cells.tolist() == [[0, 1], [4, 5], [2, 3], [6, 7], [8, 9], [12, 13], [10, 11], [14, 15]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "spiral"}, "layout 'spiral' is unknown"),
        ({"layout": "patch", "patch_size": "3"}, "does not divide"),
        ({"layout": "patch", "patch_size": "2", "code": "radix:auto:5"}, "does not fit into a patch of 2x2"),
        ({"marker_size": 9}, "marker of 9 pixels"),
        ({"marker_size": 8}, "no room"),
        ({"patch_size": "four", "layout": "patch"}, "patch size 'four'"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        CanvasCodec(**{"canvas_size": 8, **arguments})

"""The tag in the pixels, and what a loss may count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float, to_uint8


def test_text_is_black_and_an_image_white():
    codec = CanvasCodec(canvas_size=8, marker_size=2)
    grey = np.full((2, 8, 8, 3), 77, np.uint8)
    marked = codec.mark(grey, np.array([TEXT, IMAGE]))
    assert (marked[0, :2, :2] == 0).all()
    assert (marked[1, :2, :2] == 255).all()
    assert (marked[:, 2:] == 77).all()
    assert (grey == 77).all()
    assert (codec.mark(to_float(grey), IMAGE)[:, 0, 0] == 1).all()


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 3), modality=st.sampled_from([TEXT, IMAGE]), seed=st.integers(0, 2**32))
def test_noise_below_half_the_distance_never_changes_the_tag(size, modality, seed):
    codec = CanvasCodec(canvas_size=8, marker_size=size)
    x = codec.mark(np.zeros((8, 8, 3), np.float32), modality)
    noise = np.random.default_rng(seed).normal(size=(size, size, 3))
    half_distance = np.sqrt(3 * size * size)
    x[:size, :size] += (0.999 * half_distance * noise / np.linalg.norm(noise)).astype(np.float32)
    read, margin = codec.decode_modality(x)
    assert read == modality
    assert margin > 0


def test_the_margin_is_one_at_a_tag_and_nothing_half_way():
    codec = CanvasCodec(canvas_size=8)
    x = np.zeros((3, 8, 8, 3), np.float32)
    x[1, 0, 0], x[2, 0, 0] = -1, 1
    modality, margin = codec.decode_modality(x)
    assert modality.tolist() == [TEXT, TEXT, IMAGE]
    np.testing.assert_allclose(margin, [0, 1, 1])


def test_marker_survives_uint8_rounding():
    codec = CanvasCodec(canvas_size=8)
    canvas = codec.mark(np.zeros((8, 8, 3), np.float32), IMAGE)
    assert codec.decode_modality(to_uint8(canvas))[0] == IMAGE


def test_without_a_marker_the_whole_canvas_is_text():
    codec = CanvasCodec(canvas_size=8, marker=False)
    canvas = np.full((1, 8, 8, 3), 255, np.uint8)
    assert codec.mark(canvas, TEXT) is canvas
    decoded = codec.decode(canvas)
    assert decoded.modality.tolist() == [TEXT]
    assert decoded.modality_margin.tolist() == [0]


def test_the_loss_counts_text_eos_and_marker_but_no_padding():
    codec = CanvasCodec(canvas_size=4, code="radix:auto:2")  # 7 cells of 2 pixels, one pixel left over
    ids = np.full(codec.capacity, codec.pad_id)
    ids[:3] = [65, 66, codec.eos_id]
    mask = codec.loss_mask(ids).reshape(-1)
    assert np.flatnonzero(mask).tolist() == [0, *codec.cell_index[:3].reshape(-1).tolist()]
    ids[:] = 65
    assert np.flatnonzero(~codec.loss_mask(ids).reshape(-1)).tolist() == [15]


@pytest.mark.parametrize("lengths", [None, np.array([2, 5])])
def test_letters_are_masked_after_the_last_one_or_by_length(lengths):
    codec = CanvasCodec("chars27", canvas_size=4, marker=False)
    ids = np.zeros((2, 16), np.int32)
    ids[:, :2] = [0, 3]
    counted = codec.loss_mask(ids, lengths).sum(axis=(1, 2))
    assert counted.tolist() == ([2, 2] if lengths is None else [2, 5])

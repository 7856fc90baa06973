"""The fast paths for whole uint8 batches give what the plain maps give."""

import numpy as np
import pytest
from codecs_under_test import grid, name
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import CanvasCodec

CODECS = [
    *grid("bytes")[::4],
    *grid("chars27")[::9],
    CanvasCodec(canvas_size=15),
    CanvasCodec(canvas_size=9, marker=False),
    CanvasCodec(canvas_size=16, marker_size=6, layout="patch"),  # parts of patches, in runs of several lengths
    CanvasCodec(canvas_size=16, marker_size=9, code="radix:auto:3", layout="patch", patch_size="8"),
    CanvasCodec(canvas_size=16, marker_size=15, layout="patch", patch_size="2x4"),
]


@pytest.mark.parametrize("codec", CODECS, ids=name)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), canvases=st.integers(0, 11))
def test_painting_and_reading_agree_with_the_color_code(codec, seed, canvases):
    random = np.random.default_rng(seed)
    ids = random.integers(0, codec.vocab_size, (canvases, codec.capacity)).astype(np.int32)
    painted = codec.encode_ids(ids)

    expected = np.zeros((canvases, codec.canvas_size**2, 3), np.uint8)
    expected[:, codec.cell_index] = codec.color_code.encode(ids)
    assert (painted.reshape(expected.shape) == expected).all()
    assert (codec.nearest_ids(painted) == ids).all()

    noise = random.integers(0, 256, painted.shape, dtype=np.uint8)
    cells = noise.reshape(expected.shape)[:, codec.cell_index]
    assert (codec.nearest_ids(noise) == codec.color_code.decode(cells)[0]).all()


@pytest.mark.parametrize("order", ["gray", "permuted"])
def test_codes_of_too_many_digit_strings_for_a_table_are_read_without_one(monkeypatch, order):
    monkeypatch.setattr("pixjax.codec.bulk._MOST_STRINGS", 100)
    codec = CanvasCodec(code=f"radix:auto:1:{order}", canvas_size=8)
    ids = np.random.default_rng(0).integers(0, codec.vocab_size, (3, codec.capacity), dtype=np.int32)
    assert (codec.nearest_ids(codec.encode_ids(ids)) == ids).all()


def test_margins_are_those_of_the_color_code_where_some_canvases_are_as_painted():
    codec = CanvasCodec(canvas_size=8)
    random = np.random.default_rng(0)
    canvases = codec.encode_ids(random.integers(0, codec.vocab_size, (20, codec.capacity), dtype=np.int32))
    for i in (3, 4, 17):
        canvases[i, i % 8] = random.integers(0, 256, (8, 3))
    cells = canvases.reshape(20, 64, 3)[:, codec.cell_index]
    for mine, expected in zip(codec.decode_ids(canvases), codec.color_code.decode(cells), strict=True):
        assert (mine == expected).all()
    assert ((codec.decode_ids(canvases)[1] < 1).any(axis=1) == np.isin(np.arange(20), (3, 4, 17))).all()


def test_batches_of_any_rank_are_painted():
    codec = CanvasCodec(canvas_size=8)
    ids = np.random.default_rng(0).integers(0, codec.vocab_size, (2, 3, codec.capacity))
    canvases = codec.encode_ids(ids)
    assert canvases.shape == (2, 3, 8, 8, 3)
    assert (codec.nearest_ids(canvases) == ids).all()
    assert (codec.decode_ids(canvases)[0] == ids).all()
    assert codec.encode_ids(ids[0, 0]).shape == (8, 8, 3)


def test_reading_does_not_need_contiguous_canvases():
    codec = CanvasCodec(canvas_size=8)
    canvases = codec.encode_ids(np.arange(4 * codec.capacity).reshape(4, -1) % 258)
    flipped = np.asfortranarray(canvases)[::-1]
    assert (codec.nearest_ids(flipped)[::-1] == codec.nearest_ids(canvases)).all()


def test_ids_outside_the_vocabulary_are_refused():
    codec = CanvasCodec(canvas_size=8)
    ids = np.zeros((1, codec.capacity), np.int32)
    for wrong in (-1, 258):
        ids[0, 5] = wrong
        with pytest.raises(ValueError, match=r"have to be in \[0, 258\)"):
            codec.encode_ids(ids)


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i2", ">i4", "<i8", ">i8"])
def test_an_id_below_zero_is_refused_in_every_type(dtype):
    codec = CanvasCodec(canvas_size=8)
    ids = np.full((1, codec.capacity), 7, dtype)
    np.testing.assert_array_equal(codec.decode_ids(codec.encode_ids(ids))[0], ids)
    ids[0, 5] = -1
    with pytest.raises(ValueError, match=r"ids reach from -1 to 7"):
        codec.encode_ids(ids)

"""What was written is what is read, for every tokenizer × code × layout × marker."""

import numpy as np
import pytest
from codecs_under_test import grid, name
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.codec.subword import train_bpe

ANY_TEXT = st.text(max_size=400)
BYTE_CODECS = grid("bytes")


@pytest.fixture(scope="module")
def bpe(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    path.write_bytes(train_bpe(["the quick brown fox and the lazy dog " * 3], vocab_size=270))
    return str(path)


@pytest.mark.parametrize("codec", BYTE_CODECS, ids=name)
@settings(max_examples=12, deadline=None)
@given(text=ANY_TEXT)
def test_any_text_comes_back_through_bytes(codec, text):
    decoded = codec.decode(codec.encode(text))
    assert decoded.text == text
    assert (decoded.margin == 1).all()
    assert (decoded.modality == TEXT).all()


@pytest.mark.parametrize("code", ["base256", "radix:auto:1:gray", "radix:auto:2:permuted"])
@pytest.mark.parametrize("layout", ["raster", "patch"])
@pytest.mark.parametrize("marker", [True, False])
def test_any_text_comes_back_through_byte_level_bpe(bpe, code, layout, marker):
    codec = CanvasCodec(bpe, code, layout, 16, marker)

    @settings(max_examples=30, deadline=None)
    @given(text=ANY_TEXT)
    def comes_back(text):
        assert codec.decode(codec.encode(text)).text == text

    comes_back()


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=" abcdefghijklmnopqrstuvwxyz", max_size=600))
def test_letters_come_back_but_for_spaces_at_the_very_end(text):
    codec = CanvasCodec("chars27", "radix:3:1", "patch", 16)
    assert codec.decode(codec.encode(text)).text == text.rstrip(" ")


@settings(max_examples=40, deadline=None)
@given(documents=st.lists(st.text(max_size=150), min_size=1, max_size=6))
def test_documents_come_back_apart(documents):
    codec = CanvasCodec("bytes", canvas_size=16)
    decoded = codec.decode(codec.encode(documents))
    assert list(decoded.documents) == documents
    assert decoded.text == "\n\n".join(documents)


def test_a_character_may_be_split_between_canvases():
    codec = CanvasCodec("bytes", canvas_size=8)
    text = "漢" * 40  # three bytes each, 63 tokens a canvas
    canvases = codec.encode(text)
    assert len(canvases) == 2
    assert codec.decode(canvases).text == text


def test_an_empty_text_is_one_canvas_of_padding():
    codec = CanvasCodec(canvas_size=8)
    decoded = codec.decode(codec.encode(""))
    assert (decoded.token_ids == codec.pad_id).all()
    assert decoded.texts == ("",)


def test_a_full_canvas_needs_no_second_one():
    codec = CanvasCodec(canvas_size=8)
    assert codec.encode("x" * 63).shape == (1, 8, 8, 3)
    assert codec.encode("x" * 64).shape == (2, 8, 8, 3)


def test_the_capacity_is_that_of_the_canvas_less_the_marker():
    assert CanvasCodec().capacity == 64 * 64 - 1
    assert CanvasCodec(marker=False).capacity == 64 * 64
    assert CanvasCodec(marker_size=4, layout="patch").capacity == 64 * 64 - 16


def test_a_natural_image_has_no_text():
    codec = CanvasCodec(canvas_size=8)
    canvases = codec.mark(np.concatenate([codec.encode("read me"), codec.encode("not me")]), np.array([TEXT, IMAGE]))
    decoded = codec.decode(canvases)
    assert decoded.modality.tolist() == [TEXT, IMAGE]
    assert decoded.texts == ("read me", "")
    assert decoded.text == "read me"


@pytest.mark.parametrize("codec", BYTE_CODECS[::7], ids=name)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_uint8_canvas_decodes_to_legal_ids(codec, seed):
    canvases = np.random.default_rng(seed).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    decoded = codec.decode(canvases)
    assert decoded.token_ids.min() >= 0
    assert decoded.token_ids.max() < codec.vocab_size
    assert decoded.margin.min() >= 0
    assert decoded.margin.max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_floats_out_of_all_bounds_decode(value):
    codec = CanvasCodec(canvas_size=8)
    decoded = codec.decode(np.full((1, 8, 8, 3), value, np.float32))
    assert np.isfinite(decoded.margin).all()
    assert np.isfinite(decoded.modality_margin).all()


def test_noise_decodes_with_low_margins():
    codec = CanvasCodec(canvas_size=32)
    noise = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    assert codec.decode(noise).margin.mean() < 0.4

"""What is given of a canvas: a text with blanks, an image with a mask."""

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.errors import InputError
from pixjax.sampling.infill import given_image, given_text

LETTERS = CanvasCodec("chars27", "radix:3:1", canvas_size=8, normalize=True)
BYTES = CanvasCodec("bytes", "radix:auto:2", "patch", canvas_size=8)


def known_tokens(codec, given):
    """The ids, -1 where one is not known."""
    cells = given.known.reshape(-1)[codec.cell_index]
    assert (cells.all(axis=1) == cells.any(axis=1)).all()  # a cell is known as a whole
    return np.where(cells[:, 0], codec.decode_ids(given.canvas)[0], -1).tolist()


def test_each_blank_is_one_token_and_what_follows_is_unknown_too():
    given = given_text(BYTES, "a_\n__Z")
    assert given.modality == TEXT
    assert known_tokens(BYTES, given) == [97, -1, 10, -1, -1, 90, *[-1] * (BYTES.capacity - 6)]


def test_spaces_beside_a_blank_survive_normalising():
    given = given_text(LETTERS, "The __ sat: 2 _")
    expected = [*LETTERS.tokenize("the x")[:-1], -1, -1, *LETTERS.tokenize("x sat two x")[1:-1], -1]
    assert known_tokens(LETTERS, given)[: len(expected)] == expected


def test_a_text_of_which_the_codec_loses_most_is_refused():
    with pytest.raises(InputError, match=r"--infill: all of 6 characters .* trained with codec.tokenizer=bytes"):
        given_text(LETTERS, "привет ___")
    assert given_text(LETTERS, "___").modality == TEXT  # nothing is given, so nothing is lost


def test_another_blank_makes_underscores_ordinary():
    assert known_tokens(BYTES, given_text(BYTES, "_#_", blank="#"))[:4] == [95, -1, 95, -1]


@pytest.mark.parametrize(
    ("template", "blank", "message"),
    [
        ("a_b", "__", "--blank='__' has 2 characters"),
        ("", "_", "has 0 tokens, blanks included, and a canvas 31: give 1 to 31"),
        ("x" * 30 + "__", "_", "has 32 tokens, blanks included, and a canvas 31"),
        ("x" * 31, "_", "has no blank '_': there is nothing to fill in"),
    ],
)
def test_templates_that_cannot_be_filled_in_are_refused(template, blank, message):
    with pytest.raises(InputError, match=message):
        given_text(BYTES, template, blank)


@pytest.fixture
def files(tmp_path):
    """A picture whose right half is masked, larger than a canvas and oblong."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24], pixels[:, 24:] = (200, 10, 10), (10, 10, 200)
    mask = np.zeros((32, 48), np.uint8)
    mask[:, 24:] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "black.png")
    Image.fromarray(mask[:16]).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def test_what_is_black_in_the_mask_is_known(files):
    given = given_image(str(files / "image.png"), str(files / "mask.png"), 16)
    assert given.modality == IMAGE
    assert given.known[:, :7].all()
    assert not given.known[:, 8:].any()
    np.testing.assert_array_equal(given.canvas[:, :6], np.broadcast_to([200, 10, 10], (16, 6, 3)))


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (
            "image.png",
            "small.png",
            r"has 48x16 pixels and --infill-image=.*image.png 48x32: give a mask of the same size",
        ),
        ("image.png", "black.png", "black.png is black where the canvas is, so there is nothing to fill in"),
        ("text.png", "mask.png", "text.png cannot be read as an image"),
    ],
)
def test_masks_that_do_not_fit_are_refused(files, image, mask, message):
    with pytest.raises(InputError, match=message):
        given_image(str(files / image), str(files / mask), 16)

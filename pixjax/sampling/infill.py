"""The given part of a canvas that the model is to fill in: a text with blanks, or an image with a mask."""

import dataclasses
import os
import re

import numpy as np
from jaxtyping import Bool, Int, UInt8

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.codec.coverage import TRAIN_ON_BYTES, warn_lost
from pixjax.data.images import BadImage, crop_into, decode_image, image_size
from pixjax.errors import InputError
from pixjax.paths import reachable_path

# Of 255: a pixel whose mask is whiter than an eighth mixes with what is to be replaced.
_WHITE = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnownPixels:
    """One canvas, and which of its pixels are known."""

    canvas: UInt8[np.ndarray, "height width 3"]
    known: Bool[np.ndarray, "height width"]
    modality: int


def given_text(codec: CanvasCodec, template: str, blank: str = "_") -> KnownPixels:
    """A text in which each `blank` stands for one token that is not known; all that follows the text is not either.

    Raises:
      InputError: `blank` is not one character, most of the text is lost to the tokenizer, or the template is empty, too
        long for a canvas, or has no blank while it fills the canvas.
    """
    if len(blank) != 1:
        raise InputError(
            f"--blank={blank!r} has {len(blank)} characters: give the one that stands for an unknown token"
        )
    pieces = re.split(f"({re.escape(blank)}+)", template)  # known, blank, known, ..., known
    if (known_text := " ".join(pieces[::2])).strip():
        warn_lost(codec.text_tokenizer, known_text, "--infill", TRAIN_ON_BYTES)
    ids: list[Int[np.ndarray, " n"]] = []
    known: list[Bool[np.ndarray, " n"]] = []
    for number, piece in enumerate(pieces):
        is_known = number % 2 == 0
        tokens = (
            _tokens(codec, piece, after_blank=number > 0, before_blank=number + 1 < len(pieces))
            if is_known
            else np.full(len(piece), codec.pad_id, np.int32)
        )
        ids.append(tokens)
        known.append(np.full(len(tokens), is_known))
    template_ids, template_known = np.concatenate(ids), np.concatenate(known)
    if not 0 < len(template_ids) <= codec.capacity:
        raise InputError(
            f"the text to fill in has {len(template_ids):,} tokens, blanks included, and a canvas {codec.capacity:,}: "
            f"give 1 to {codec.capacity:,}"
        )
    if len(template_ids) == codec.capacity and template_known.all():
        raise InputError(f"the text fills the canvas and has no blank {blank!r}: there is nothing to fill in")
    cells = np.zeros(codec.capacity, bool)
    cells[: len(template_ids)] = template_known
    pixels = np.zeros(codec.canvas_size**2, bool)
    pixels[codec.cell_index[cells]] = True
    (canvas,) = codec.encode_ids(codec.pack(template_ids))
    return KnownPixels(canvas=canvas, known=pixels.reshape(canvas.shape[:2]), modality=TEXT)


def _tokens(codec: CanvasCodec, piece: str, *, after_blank: bool, before_blank: bool) -> Int[np.ndarray, " n"]:
    if not (codec.normalize and piece):
        return codec.tokenize(piece)
    # Normalising strips the spaces at both ends: beside a blank, a letter stands in for it.
    ids = codec.tokenize("a" * after_blank + piece + "a" * before_blank)
    return ids[after_blank : len(ids) - before_blank]


def given_image(image: str | os.PathLike, mask: str | os.PathLike, canvas_size: int) -> KnownPixels:
    """An image file and a mask file of the same size: what is white in the mask is not known.

    Both are resized and cropped to the middle, as images are in training but for its random crops.

    Raises:
      InputError: a file that is no image, masks of another size, or without anything white.
    """
    data = {
        path: reachable_path(path, flag).read_bytes() for path, flag in ((image, "--infill-image"), (mask, "--mask"))
    }
    squares = {path: np.zeros((canvas_size, canvas_size, 3), np.uint8) for path in data}
    sizes = {}
    for path, square in squares.items():
        try:
            sizes[path] = image_size(data[path])
            crop_into(square, decode_image(data[path], canvas_size), across=0.5, flip=False)
        except BadImage as error:
            raise InputError(f"{path} cannot be read as an image ({error.cause}: {error.detail})") from None
    if sizes[mask] != sizes[image]:
        (width, height), (mask_width, mask_height) = sizes[image], sizes[mask]
        raise InputError(
            f"--mask={mask} has {mask_width}x{mask_height} pixels and --infill-image={image} {width}x{height}: "
            "give a mask of the same size"
        )
    known = squares[mask].mean(axis=-1) < _WHITE
    if known.all():
        raise InputError(
            f"--mask={mask} is black where the canvas is, so there is nothing to fill in: paint that white"
        )
    return KnownPixels(canvas=squares[image], known=known, modality=IMAGE)

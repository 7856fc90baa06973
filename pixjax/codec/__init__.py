"""Text as colours: tokens painted on a canvas, and read back from a noisy one. Imports no JAX.

    codec = CanvasCodec(tokenizer="bytes", code="radix:auto:1")
    canvases = codec.encode("any text")  # uint8 [n, 64, 64, 3]
    codec.decode(canvases).text

The parts: a tokenizer (text ↔ ids), a color code (id ↔ the colours of a cell), a layout (cell ↔ pixels) and a
marker (text or image). Each is a small module of pure maps that serve NumPy and, under `jax.jit`, JAX.
"""

from pixjax.codec.canvas import CanvasCodec
from pixjax.codec.codes import parse_code
from pixjax.codec.color import ColorCode
from pixjax.codec.modality import IMAGE, TEXT, Modality
from pixjax.codec.reading import Decoded
from pixjax.codec.scale import to_float, to_uint8

__all__ = [
    "IMAGE",
    "TEXT",
    "CanvasCodec",
    "ColorCode",
    "Decoded",
    "Modality",
    "parse_code",
    "to_float",
    "to_uint8",
]

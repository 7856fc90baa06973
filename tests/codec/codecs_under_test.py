"""The codecs that several tests go through, on small canvases."""

import itertools

from pixjax.codec import CanvasCodec
from pixjax.codec.codes import CODES as KINDS

CODES = tuple(dict.fromkeys(text for kind in KINDS.values() for text in kind.examples))
MARKERS = ({"marker": False}, {"marker_size": 1}, {"marker_size": 3})


def grid(tokenizer: str, canvas_size: int = 16) -> list[CanvasCodec]:
    """Every code × layout × marker setting."""
    layouts = ({"layout": "raster"}, {"layout": "patch", "patch_size": "4"}, {"layout": "patch", "patch_size": "2x8"})
    return [
        CanvasCodec(tokenizer, code, canvas_size=canvas_size, **layout, **marker)
        for code, layout, marker in itertools.product(CODES, layouts, MARKERS)
    ]


def name(codec: CanvasCodec) -> str:
    marker = f"marker{codec.marker_size}" if codec.marker else "bare"
    return f"{codec.code}-{codec.layout}{codec.patch_size if codec.layout == 'patch' else ''}-{marker}"

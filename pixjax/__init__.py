"""pixjax: one pixel-space diffusion transformer for text and natural images.

The names below are imported when they are first used, so that `import pixjax` costs nothing.
"""

from typing import TYPE_CHECKING

from pixjax.version import __version__

if TYPE_CHECKING:
    from pixjax.codec import CanvasCodec
    from pixjax.evaluation.restore import load

__all__ = ["CanvasCodec", "__version__", "load"]


def __getattr__(name: str):
    if name == "CanvasCodec":
        from pixjax.codec import CanvasCodec

        return CanvasCodec
    if name == "load":
        from pixjax.evaluation.restore import load

        return load
    raise AttributeError(f"module 'pixjax' has no attribute {name!r}")

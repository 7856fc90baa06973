"""`demo:text` and `demo:images`: real material that comes with Python and scikit-image, no download."""

import importlib.util
import pathlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixjax.codec import IMAGE, CanvasCodec
from pixjax.data.images import BadImage
from pixjax.data.source import Picture
from pixjax.data.token_stream import TokenStream, tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError, RunError

# Public domain, CC0 or unrestricted by the docstrings of skimage.data; a tile's label is its photograph.
PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
)

_HELD_OUT_EVERY = 10


def demo_documents(part: str = "all") -> list[str]:
    """The topics of Python's own documentation, sorted by name, each once.

    `part` is all, or train and held_out: every tenth topic is held out, so that no text is in both.
    """
    from pydoc_data.topics import topics

    seen, documents = set(), []
    for name in sorted(topics):
        if topics[name] not in seen:
            seen.add(topics[name])
            documents.append(topics[name])
    chosen = {
        "all": documents,
        "train": [d for i, d in enumerate(documents) if i % _HELD_OUT_EVERY],
        "held_out": documents[::_HELD_OUT_EVERY],
    }
    if part not in chosen:
        raise InputError(f"demo:text has no part {part!r}: choose one of {', '.join(chosen)}")
    return chosen[part]


def open_demo_text(uri: SourceUri, codec: CanvasCodec) -> TokenStream:
    uri.require_options("part")
    tokens = tokenize_documents(demo_documents(uri.option("part", "all")), codec)
    return TokenStream(str(uri), tokens, capacity=codec.capacity, pad_id=codec.pad_id)


class DemoTiles:
    """Square tiles of the photographs, side by side, none overlapping another; 885 of them at 64 pixels."""

    modality = IMAGE
    num_labels = len(PHOTOGRAPHS)

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options()
        self.uri = str(uri)
        photographs = [_tiles(_photograph(name), canvas_size) for name in PHOTOGRAPHS]
        self._tiles = np.concatenate(photographs)
        self._labels = np.repeat(np.arange(len(PHOTOGRAPHS)), [len(tiles) for tiles in photographs])

    def __len__(self) -> int:
        return len(self._tiles)

    def name(self, record: int) -> str:
        return f"{PHOTOGRAPHS[self._labels[record]]} tile {record}"

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [Picture(self._tiles[record], int(self._labels[record])) for record in records]


def _photograph(name: str) -> Image.Image:
    # The package is not imported: that takes a second, and only its files are wanted.
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise RunError("demo:images needs the photographs of scikit-image: pip install scikit-image")
    return Image.open(pathlib.Path(package.submodule_search_locations[0]) / "data" / name).convert("RGB")


def _tiles(photograph: Image.Image, side: int) -> UInt8[np.ndarray, "tiles side side 3"]:
    if (short := min(photograph.size)) < side:
        scaled = [max(side, round(length * side / short)) for length in photograph.size]
        photograph = photograph.resize((scaled[0], scaled[1]), Image.Resampling.BICUBIC)
    pixels = np.asarray(photograph)
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    grid = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return grid.swapaxes(1, 2).reshape(rows * columns, side, side, 3)

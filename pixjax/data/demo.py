"""`demo:text` and `demo:images`: real texts and photographs that come with Python and scikit-image, no download."""

import functools
import importlib.util
import pathlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixjax.codec import IMAGE, TEXT, Modality
from pixjax.data.images import BadImage
from pixjax.data.source import Picture
from pixjax.data.source_identity import digest
from pixjax.data.sources import ListedDocuments, SourceSpec
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError, RunError

# Public domain, CC0 or unrestricted by the docstrings of skimage.data; a view's label is its photograph.
PHOTOGRAPHS = {
    "train": (
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "rocket.jpg",
        "hubble_deep_field.jpg",
        "retina.jpg",
    ),
    "held_out": ("camera.png", "clock_motion.png", "coins.png", "ihc.png"),
}

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


class DemoSpec(SourceSpec):
    def contents(self) -> Modality:
        if self.uri.place not in ("text", "images"):
            raise InputError(f"demo:{self.uri.place} does not exist: there are demo:text and demo:images")
        return TEXT if self.uri.place == "text" else IMAGE

    def document_files(self, what: str = "text source", *, quiet: bool = False) -> list[ListedDocuments]:
        self.uri.require_options("part")
        return [ListedDocuments(demo_documents(self.uri.option("part", "all")))]

    def pictures(self, canvas_size: int) -> "DemoViews":
        return DemoViews(self.uri, canvas_size=canvas_size)


class DemoViews:
    """Square views of the photographs, from the whole of one down to a quarter of it; a view's label is its
    photograph. Option `part`: train (the six that are meant without it) or held_out (four others).

    A tile cut at full resolution shows a patch of skin or sky; a view shows what the photograph is of, at any
    canvas size. Each photograph is resized until its short side is 1, 1.5 and 2 canvases, and cut every
    quarter of a canvas.
    """

    modality = IMAGE
    has_captions = False

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("part")
        self.uri = str(uri)
        part = uri.option("part", "train")
        if part not in PHOTOGRAPHS:
            raise InputError(f"demo:images has no part {part!r}: choose one of {', '.join(PHOTOGRAPHS)}")
        self._names = PHOTOGRAPHS[part]
        self.num_labels = len(self._names)
        photographs = [_views(name, canvas_size) for name in self._names]
        self._views = np.concatenate(photographs)
        self._labels = np.repeat(np.arange(len(self._names)), [len(views) for views in photographs])
        self.class_names = tuple(name.partition(".")[0] for name in self._names)
        self.class_records = {label: len(views) for label, views in enumerate(photographs)}

    def __len__(self) -> int:
        return len(self._views)

    def name(self, record: int) -> str:
        return f"{self._names[self._labels[record]]} view {record}"

    def fingerprint(self) -> str:
        return digest([self._views.tobytes()])

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [Picture(self._views[record], int(self._labels[record])) for record in records]


def _photograph(name: str) -> Image.Image:
    # The package is not imported: that takes a second, and only its files are wanted.
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise RunError("demo:images needs the photographs of scikit-image: pip install scikit-image")
    return Image.open(pathlib.Path(package.submodule_search_locations[0]) / "data" / name).convert("RGB")


@functools.lru_cache(maxsize=16)  # of both parts at one size, which take a tenth of a second
def _views(name: str, side: int) -> UInt8[np.ndarray, "views side side 3"]:
    photograph, views = _photograph(name), []
    for zoom in (1.0, 1.5, 2.0):
        scale = zoom * side / min(photograph.size)
        width, height = (max(side, round(length * scale)) for length in photograph.size)
        pixels = np.asarray(photograph.resize((width, height), Image.Resampling.BICUBIC))
        every = max(1, side // 4)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (side, side), axis=(0, 1))[::every, ::every]
        views.append(np.moveaxis(windows, 2, -1).reshape(-1, side, side, 3))
    together = np.concatenate(views)
    together.flags.writeable = False
    return together

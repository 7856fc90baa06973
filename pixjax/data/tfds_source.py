"""`tfds:NAME[/CONFIG]:SPLIT`: data sets of TensorFlow Datasets, read without TensorFlow.

Nothing is downloaded unless `download=true` asks for it. Images are read as they are stored, encoded, and
decoded like any other picture here.
"""

import dataclasses
import re
import socket
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pixjax.codec import IMAGE, TEXT, Modality
from pixjax.data.images import BadImage, decode_image
from pixjax.data.source import Picture
from pixjax.data.source_identity import digest, sampled
from pixjax.data.sources import SourceSpec
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError
from pixjax.paths import user_path

_OPTIONS = ("dir", "image", "label", "text", "download", "answer")
_READ_AT_ONCE = 1024

# NAME[/CONFIG][:VERSION]:SPLIT, where a split may be a slice such as train[:10%].
_PLACE = re.compile(r"([^:]+(?::[\d.*]+)?):([^:\d].*)")


class TfdsSpec(SourceSpec):
    takes_answer = True

    def contents(self) -> Modality:
        """IMAGE if there is an image among the features."""
        return IMAGE if _Features.of(_builder(self.uri), self.uri).image else TEXT

    def document_files(self, what: str = "text source", *, quiet: bool = False) -> list["TfdsDocuments"]:
        return [TfdsDocuments(self.uri)]

    def pictures(self, canvas_size: int) -> "TfdsPictures":
        return TfdsPictures(self.uri, canvas_size=canvas_size)


@dataclasses.dataclass(frozen=True)
class TfdsDocuments:
    """The text feature of every example. The place of a document is the number of its example."""

    uri: SourceUri

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        builder = _builder(self.uri)
        feature = _Features.of(builder, self.uri).text
        if not feature:
            raise InputError(f"{self.uri} has no text among its features: {', '.join(builder.info.features)}")
        data = _open(builder, self.uri, {})
        for first in range(start, len(data), _READ_AT_ONCE):
            places = list(range(first, min(first + _READ_AT_ONCE, len(data))))
            for place, example in zip(places, data.__getitems__(places), strict=True):
                yield place, example[feature].decode("utf-8", "replace")


class TfdsPictures:
    """The image feature, with its label and captions where there are any."""

    modality = IMAGE

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        self.uri = str(uri)
        self._parsed = uri
        self._size = canvas_size
        builder = _builder(uri)
        self._features = _Features.of(builder, uri)
        label = self._features.label
        self.num_labels = int(builder.info.features[label].num_classes) if label else 0
        self.class_names = tuple(builder.info.features[label].names) if label else None
        self.has_captions = bool(self._features.text)
        self._data = self._open(builder)

    def _open(self, builder: Any) -> Any:
        from tensorflow_datasets import decode

        return _open(builder, self._parsed, {self._features.image: decode.SkipDecoding()})

    def __getstate__(self):
        return {**vars(self), "_data": None}

    def __setstate__(self, state):
        vars(self).update(state)
        self._data = self._open(_builder(self._parsed))

    def __len__(self) -> int:
        return len(self._data)

    def name(self, record: int) -> str:
        return f"example {record}"

    def fingerprint(self) -> str:
        """A digest of some examples, as they are stored."""
        return digest(part for example in self._examples(sampled(len(self))) for part in self._parts(example))

    def _parts(self, example: dict[str, Any]) -> list[bytes | str]:
        features = self._features
        return [str(example[name]) for name in (features.label, features.text) if name] + [example[features.image]]

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._picture(example) for example in self._examples([int(record) for record in records])]

    def _examples(self, numbers: list[int]) -> list[dict[str, Any]]:
        try:
            return self._data.__getitems__(numbers) if numbers else []
        except Exception as error:  # a damaged file: the library raises what it likes
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{self.uri} is damaged near example {numbers[0]} ({reason}): prepare it again") from None

    def _picture(self, example: dict[str, Any]) -> Picture | BadImage:
        features = self._features
        try:
            pixels = decode_image(example[features.image], self._size)
        except BadImage as bad:
            return bad
        label = int(example[features.label]) if features.label else -1
        captions = (example[features.text].decode("utf-8", "replace"),) if features.text else ()
        return Picture(pixels, label, captions)


class _Features:
    """The names of the features to read; empty where there is none of a kind."""

    def __init__(self, image: str, label: str, text: str):
        self.image, self.label, self.text = image, label, text

    @classmethod
    def of(cls, builder: Any, uri: SourceUri) -> "_Features":
        from tensorflow_datasets import features

        kinds = {"image": features.Image, "label": features.ClassLabel, "text": features.Text}
        names = {}
        for option, kind in kinds.items():
            having = [name for name, feature in builder.info.features.items() if type(feature) is kind]
            chosen = uri.option(option)
            if chosen and chosen not in having:
                raise InputError(f"{uri}: {option}={chosen} is not one of its {kind.__name__} features: {having}")
            names[option] = chosen or next(iter(having), "")
        return cls(**names)


def _builder(uri: SourceUri) -> Any:
    """A builder whose data are on disk. Raises `InputError` saying how to get them where they are not."""
    import tensorflow_datasets as tfds

    uri.require_options(*_OPTIONS)
    name, _ = _name_and_split(uri)
    folder = user_path(given, "dir") if (given := uri.option("dir")) else None
    if folder is not None and "[" in str(folder):
        raise InputError(
            f"{uri}: TensorFlow Datasets takes the brackets of {folder} for a pattern, and finds nothing there: name "
            "it by a path without brackets, which may be a symbolic link"
        )
    try:
        builder = tfds.builder(name, data_dir=folder)
    except tfds.core.registered.DatasetNotFoundError:
        raise InputError(f"no data set is named {name!r}, neither in tfds nor in {_data_dir(uri)}") from None
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        raise InputError(f"{uri} cannot be opened: {' '.join(str(error).split())[:300]}") from None
    if not builder.is_prepared():
        _download(builder, name, uri)
    return builder


def _name_and_split(uri: SourceUri) -> tuple[str, str]:
    match = _PLACE.fullmatch(uri.place)
    if match is None:
        raise InputError(f"{uri} names no split: write tfds:NAME:SPLIT, for instance tfds:mnist:train")
    return match[1], match[2]


def _data_dir(uri: SourceUri) -> str:
    return uri.option("dir") or "~/tensorflow_datasets"


def _download(builder: Any, name: str, uri: SourceUri) -> None:
    by_hand = (
        f'python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, data_dir={_data_dir(uri)!r}, '
        "file_format='array_record').download_and_prepare()\""
    )
    if uri.option("download") != "true":
        raise InputError(
            f"{name} is not prepared in {_data_dir(uri)}: add download=true to the source to fetch it, or run, where "
            f"there is a network, {by_hand} and name its folder with dir="
        )
    for url in list(builder.url_infos)[:1]:
        _require_network(urllib.parse.urlparse(url).hostname or url, name, by_hand)
    if builder.info.file_format is None or builder.info.file_format.value != "array_record":
        builder.info.set_file_format("array_record", override=True)
    builder.download_and_prepare()


def _require_network(
    host: str, name: str, by_hand: str, connect: Callable[..., Any] = socket.create_connection
) -> None:
    # Without a network the download itself would try for minutes.
    try:
        connect((host, 443), timeout=5).close()
    except OSError:
        raise InputError(
            f"{name} has to be downloaded from {host}, which cannot be reached: run {by_hand} where there is a "
            "network, copy the folder here and name it with dir="
        ) from None


def _open(builder: Any, uri: SourceUri, decoders: dict[str, Any]) -> Any:
    _, split = _name_and_split(uri)
    try:
        return builder.as_data_source(split, decoders=decoders or None)
    except NotImplementedError:
        raise InputError(
            f"{uri} was prepared in a format without random access: prepare it again with file_format='array_record'"
        ) from None
    except (ValueError, KeyError) as error:
        raise InputError(f"{uri}: {' '.join(str(error).split())[:300]}") from None

"""`images:` and `captions:` of Parquet files, as Hugging Face writes them: encoded pictures in a column."""

import bisect
import collections
import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from pixjax.codec import IMAGE
from pixjax.data.images import BadImage, decode_image
from pixjax.data.labels import class_name, number_labels
from pixjax.data.parquet import footer_digest, one_line, open_parquet
from pixjax.data.source import Picture
from pixjax.data.uri import SourceUri, expand_glob
from pixjax.errors import InputError
from pixjax.paths import file_stamp, reachable_path

_PICTURES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "pixel_values", "bytes")
_LABELS = ("label", "labels", "class", "class_name", "fine_label", "wnid")
_CAPTIONS = ("caption", "captions", "text", "sentence", "sentences", "prompt")
_GROUPS_KEPT = 2


def is_parquet(uri: SourceUri) -> bool:
    """Whether a source of pictures is one of Parquet files: by its ending, or a folder that holds them."""
    if uri.place.lower().endswith((".parquet", ".pq")):
        return True
    return bool(_in_folder(uri))


def _in_folder(uri: SourceUri) -> list[Any]:
    folder = reachable_path(uri.place)
    if not folder.is_dir():
        return []
    # What lies beside picture files is about them.
    return sorted((path for path in folder.glob("*.parquet") if path.stem not in ("metadata", "captions")), key=str)


class ParquetPictures:
    """The rows of all files that match. Each picture is a struct of its `bytes`, or the bytes.

    The options `image`, `label` and `caption` name the columns; otherwise they are those of the features that the
    file's metadata describes, or of a usual name. A label is the number that is there, a name one by sorted order.
    A row group is read as a whole for a record of it, so that a first pass over large files is better left to
    `pixjax prepare`.

    Raises:
      InputError: no column of pictures, files with other columns than the first, labels that are neither.
    """

    modality = IMAGE

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        captioned = uri.scheme == "captions"
        uri.require_options(*(("image", "caption", "answer") if captioned else ("image", "label")))
        self.uri = str(uri)
        self._size = canvas_size
        self._paths = _in_folder(uri) or expand_glob(uri.place, f"{uri.scheme} source")
        first = _Columns(self._paths[0], uri)
        self._image, self._caption = first.image, first.caption
        self.has_captions = captioned
        if captioned and not self._caption:
            raise InputError(f"{uri} has no column of captions among {', '.join(first.names)}: name one with ?caption=")
        label = None if captioned else first.label
        self._firsts, self._groups, labels = [0], [], []  # of row groups, over all files
        self._first_rows: list[int] = []  # of each file
        for number, path in enumerate(self._paths):
            file = open_parquet(path)
            self._first_rows.append(self._firsts[-1])
            wanted = [name for name in (self._image, self._caption if captioned else None, label) if name]
            if missing := set(wanted) - set(file.schema_arrow.names):
                raise InputError(f"{path} has no column {min(missing)!r}, which {self._paths[0]} has")
            for group in range(file.num_row_groups):
                self._groups.append((number, group))
                self._firsts.append(self._firsts[-1] + file.metadata.row_group(group).num_rows)
            if label:
                labels += _read_column(file, path, label)
        if not len(self):
            raise InputError(f"{uri} is empty: its files have no rows")
        numbered = number_labels(labels, f"{uri}, column {label}") if label else None
        self._labels = numbered.numbers if numbered else (-1,) * len(self)
        self.class_names = first.class_names or (numbered.names if numbered else None)
        self.num_labels = max(len(self.class_names or ()), max(self._labels) + 1) if label else 0
        self.class_records = dict(sorted(collections.Counter(self._labels).items())) if label else None
        self._digests = tuple(map(footer_digest, self._paths))
        self._stamps = tuple(map(file_stamp, self._paths))  # pictures of one size may have one footer
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[int, Any] = collections.OrderedDict()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_kept")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._start()

    def __len__(self) -> int:
        return self._firsts[-1]

    def name(self, record: int) -> str:
        number, row = self._locate(record)
        return f"{self._paths[number].name} row {row + 1}"

    def stamp(self, record: int) -> str:
        """Changes with the file of a record."""
        number, row = self._locate(record)
        return f"{self._digests[number]} {self._stamps[number]} {row}"

    def fingerprint(self) -> str:
        """The same wherever the files lie."""
        columns = f"{self._image}\0{self._caption if self.has_captions else ''}\0{self._labels}"
        return hashlib.sha256("\0".join([*self._digests, columns]).encode()).hexdigest()

    def _locate(self, record: int) -> tuple[int, int]:
        """File, and row in it, from 0."""
        number, _ = self._groups[bisect.bisect_right(self._firsts, record) - 1]
        return number, record - self._first_rows[number]

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        numbers = [int(record) for record in records]
        loaded: dict[int, Picture | BadImage] = {}
        for record in sorted(set(numbers)):  # each row group is read once
            group = bisect.bisect_right(self._firsts, record) - 1
            row = self._group(group).slice(record - self._firsts[group], 1).to_pylist()[0]
            loaded[record] = self._picture(record, row)
        return [loaded[record] for record in numbers]

    def _picture(self, record: int, row: dict[str, Any]) -> Picture | BadImage:
        found = row[self._image]
        data = found.get("bytes") if isinstance(found, dict) else found
        if not isinstance(data, bytes):
            path = found.get("path") if isinstance(found, dict) else None
            return BadImage("missing", f"only its path is there, {path}" if path else "it is null")
        captions: tuple[str, ...] = ()
        if self.has_captions:
            texts = row[self._caption]
            captions = tuple(text for text in (texts if isinstance(texts, list) else [texts]) if text)
            if not captions or not all(isinstance(text, str) for text in captions):
                return BadImage("missing", f"its {self._caption} is no text")
        try:
            return Picture(decode_image(data, self._size), self._labels[record], captions)
        except BadImage as bad:
            return bad

    def _group(self, group: int) -> Any:
        with self._lock:
            if group not in self._kept:
                number, of_file = self._groups[group]
                columns = [self._image, *([self._caption] if self.has_captions else [])]
                path = self._paths[number]
                self._kept[group] = _guarded(path, lambda: open_parquet(path).read_row_group(of_file, columns))
                while len(self._kept) > _GROUPS_KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            return self._kept[group]


class _Columns:
    """The names of the columns to read; empty where there is none of a kind."""

    def __init__(self, path: Any, uri: SourceUri):
        schema = open_parquet(path).schema_arrow
        self.names: Sequence[str] = schema.names
        features = _features(schema)
        kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
        holding = [name for name in _holding_bytes(schema) if kinds.get(name, "Image") == "Image"]
        self.image = self._choose(uri, "image", [n for n in holding if kinds.get(n) == "Image"], _PICTURES, holding)
        if not self.image:
            raise InputError(f"{path} has no column of pictures among {', '.join(self.names)}: name one with ?image=")
        self.label = self._choose(uri, "label", [n for n in kinds if kinds[n] == "ClassLabel"], _LABELS, self.names)
        self.caption = self._choose(uri, "caption", [], _CAPTIONS, self.names)
        names = features.get(self.label, {}).get("names") or ()
        self.class_names = tuple(map(class_name, names))

    def _choose(
        self, uri: SourceUri, option: str, described: Sequence[str], usual: Sequence[str], among: Sequence[str]
    ) -> str:
        if (given := uri.option(option)) and given not in among:
            raise InputError(f"{uri}: {option}={given} is not one of its columns: {', '.join(among)}")
        return given or next((name for name in (*described, *usual) if name in among), "")


def _features(schema: Any) -> dict[str, Any]:
    """What Hugging Face's library notes of the columns; empty where it does not."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return noted if isinstance(noted, dict) else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _holding_bytes(schema: Any) -> list[str]:
    import pyarrow as pa

    def is_bytes(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(field.name == "bytes" and is_bytes(field.type) for field in kind)
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    return [field.name for field in schema if is_bytes(field.type)]


def _read_column(file: Any, path: Any, name: str) -> list[Any]:
    return _guarded(path, lambda: file.read([name]).column(name).to_pylist())


def _guarded(path: Any, read: Any) -> Any:
    import pyarrow as pa

    try:
        return read()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None

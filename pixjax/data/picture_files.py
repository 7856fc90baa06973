"""`images:`: pictures in a folder or zip, labelled by sub-folder or by a JSONL file beside them."""

import json
import zipfile
from collections.abc import Iterable

from etils import epath

from pixjax.codec import IMAGE
from pixjax.data.files import Files, open_files
from pixjax.data.fingerprint import digest
from pixjax.data.images import BadImage, Pixels, decode_image
from pixjax.data.labels import number_labels
from pixjax.data.paths import reach
from pixjax.data.source import Picture
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

# A line's label is the first of these keys that it has: a number as it stands, or a name, numbered in sorted
# order.
_LABEL_KEYS = ("label", "class", "wnid", "class_name")


class PictureFiles:
    """Encoded image files, decoded on reading."""

    modality = IMAGE
    has_captions = False

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        uri.require_options("labels")
        self.uri = str(uri)
        self._size = canvas_size
        self.files = open_files(uri.place, "image source")
        self._labels = _find_labels(uri, self.files)
        self.num_labels = max(self._labels, default=-1) + 1

    def __len__(self) -> int:
        return len(self.files.names)

    def name(self, record: int) -> str:
        return self.files.names[record]

    def fingerprint(self) -> str:
        return digest([self.files.fingerprint(), *self._labels])

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Picture | BadImage:
        try:
            return Picture(read_picture(self.files, record, self._size), self._labels[record])
        except BadImage as bad:
            return bad


def read_picture(files: Files, record: int, size: int) -> Pixels:
    """Raises `BadImage`, also for a file that is gone or a damaged archive member."""
    try:
        data = files.read(record)
    except FileNotFoundError as error:
        raise BadImage("missing", str(error)) from None
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise BadImage("corrupt", str(error)) from None
    return decode_image(data, size)


def read_jsonl_by_file(path: epath.Path) -> dict[str, dict]:
    """The lines of a JSONL file by their key `file`. Raises `InputError` naming the line that is wrong."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text: byte {error.start} cannot be decoded; convert it first, as with iconv"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from None
    lines = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            lines[entry["file"]] = entry
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{path} line {number} is not a JSON object with the key 'file'") from None
    return lines


def _find_labels(uri: SourceUri, files: Files) -> tuple[int, ...]:
    path = reach(uri.place)
    if given := uri.option("labels"):
        if not (listed := reach(given)).exists():
            raise InputError(f"{given!r}, the labels of {uri}, does not exist")
        return _from_jsonl(listed, files, str(uri))
    if path.suffix.lower() == ".zip":
        for beside in (path.with_suffix(".jsonl"), path.parent / "labels.jsonl"):
            if beside.exists():
                return _from_jsonl(beside, files, str(uri))
    return number_labels([name.split("/")[0] if "/" in name else None for name in files.names], str(uri))


def _from_jsonl(path: epath.Path, files: Files, where: str) -> tuple[int, ...]:
    entries = read_jsonl_by_file(path)
    found = [entries.get(name, entries.get(name.rsplit("/", 1)[-1], {})) for name in files.names]
    return number_labels([next((e[k] for k in _LABEL_KEYS if k in e), None) for e in found], f"{where}, {path.name}")

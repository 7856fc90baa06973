"""The files of a text source, of a glob, below a folder, or in a zip: how each kind is read, document by document."""

import dataclasses
import logging
import os
import pathlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from etils import epath

from pixjax.codec import TEXT, Modality
from pixjax.data.bad_records import BadRow
from pixjax.data.content import COMPRESSIONS, TextPath, opened, plain_name
from pixjax.data.files import unreadable_folder
from pixjax.data.parquet import ParquetRows
from pixjax.data.picture_kinds import is_hidden, is_in_hidden
from pixjax.data.row_formats import JsonFile, JsonLines, Table
from pixjax.data.rows import RowDocuments, Rows
from pixjax.data.sources import DocumentFile, SourceSpec
from pixjax.data.uri import expand_glob
from pixjax.errors import InputError
from pixjax.paths import is_remote, reachable_path

_LOOKED_AT = 1000  # bytes

# By the name of a format, which is its first ending too.
ENDINGS: Mapping[str, tuple[str, ...]] = {
    "txt": (".txt", ".text", ".md", ".markdown", ".rst", ".tex"),
    "jsonl": (".jsonl", ".ndjson", ".jsonlines"),
    "json": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "parquet": (".parquet", ".pq"),
}
TABLES = ("jsonl", "json", "csv", "tsv", "parquet")  # what has rows of columns
_ALL_ENDINGS = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
KNOWN = f"{_ALL_ENDINGS}, each but .parquet also with {', '.join(COMPRESSIONS)}"

_ROWS: Mapping[str, Callable[[Any, bool], Rows]] = {
    "jsonl": lambda path, quoted: JsonLines(path),
    "json": lambda path, quoted: JsonFile(path),
    "csv": lambda path, quoted: Table(path, ",", quoted),
    "tsv": lambda path, quoted: Table(path, "\t", quoted),
    "parquet": lambda path, quoted: ParquetRows(path),
}


def format_of(name: str) -> str | None:
    """The format that a file's name tells; None for none."""
    plain = plain_name(name)
    found = next((format for format, endings in ENDINGS.items() if plain.endswith(endings)), None)
    return None if found == "parquet" and plain != name.lower() else found


def require_format(path: TextPath, given: str, among: tuple[str, ...] = tuple(ENDINGS)) -> str:
    """`given`, or that of the name. Raises `InputError` where neither is one of `among`."""
    if given and given not in among:
        raise InputError(f"format={given} is unknown: choose one of {', '.join(among)}")
    found = given or format_of(path.name)
    if found in among:
        return found
    if found:
        raise InputError(f"{path} is {found}: here a file is one of {', '.join(among)}")
    raise InputError(f"{path} does not end in one of {KNOWN}: say what it is with ?format={'|'.join(among)}")


def open_rows(path: TextPath, format: str, *, quoted: bool = True) -> Rows:
    return _ROWS[format](path, quoted)


@dataclasses.dataclass(frozen=True)
class WholeText:
    """A file that is one document, at place 0."""

    path: TextPath

    def read(self, start: int = 0) -> Iterator[tuple[int, str | BadRow]]:
        """Raises `InputError` for what cannot be read or is not UTF-8."""
        with opened(self.path) as (file, first):
            data = file.read()
        if data.count(0, 0, _LOOKED_AT) > len(data[:_LOOKED_AT]) / 4:
            raise InputError(
                f"{self.path} is full of zero bytes: if it is UTF-16 without a byte order mark, convert it first, as "
                "with iconv"
            )
        try:
            yield 0, data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} is not UTF-8 text: byte {first + error.start} cannot be decoded; convert it first, as "
                "with iconv"
            ) from None


_log = logging.getLogger("pixjax.data")

# About the texts beside them, not texts themselves.
_NOTES = ("readme", "license", "licence", "dataset_info.json", "dataset_infos.json", "state.json")

_DEFAULT_KEY = "text"


def text_paths(place: str, what: str, *, given_format: str = "", quiet: bool = False) -> list[TextPath]:
    """Sorted by name. Of a folder or a zip what is no text is left out, and the log says of what kind it is unless
    `quiet`; a glob names its files, so each of them counts. `what` names the source in errors.

    Raises `InputError` where there is no file.
    """
    folder = reachable_path(place)
    found = [folder] if folder.is_dir() else expand_glob(place, what)
    paths: list[TextPath] = []
    for path in found:
        if path.is_dir():
            entries = [(name, path / name) for name in _names_below(path)]
            paths += _texts_of(entries, path, what, given_format, quiet)
        elif path.name.lower().endswith(".zip"):
            paths += _texts_of(_members(path), path, what, given_format, quiet)
        else:
            paths.append(path)
    return paths


def _texts_of(
    entries: list[tuple[str, Any]], where: epath.Path, what: str, given_format: str, quiet: bool
) -> list[TextPath]:
    entries = sorted((entry for entry in entries if not is_in_hidden(entry[0])), key=lambda entry: entry[0])
    texts = [(name, path) for name, path in entries if given_format or format_of(name)]
    if proper := [(name, path) for name, path in texts if not _is_note(name)]:
        texts = proper
    chosen = {name for name, _ in texts}
    left_out = Counter(_kind_of(name) for name, _ in entries if name not in chosen)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(left_out.items()))
    if not texts:
        raise InputError(f"{what} {str(where)!r} holds no text{kinds and f', only {kinds}'}: known are {KNOWN}")
    if kinds and not quiet:
        _log.warning("%s: left out %s", where, kinds)
    return [path for _, path in texts]


def _is_note(name: str) -> bool:
    return name.rsplit("/", 1)[-1].lower().startswith(_NOTES)


def _kind_of(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    return base if _is_note(name) else os.path.splitext(base)[1].lower() or "without an ending"


def _names_below(folder: epath.Path) -> Iterator[str]:
    """Relative, with forward slashes. A folder that is reached a second time, by a link, is not read again, nor one
    that the whole lies in.
    """
    if is_remote(folder):
        yield from folder.files_below()
        return

    def refuse(error: OSError) -> None:
        raise unreadable_folder(error.filename, error) from None

    seen = {str(around) for around in pathlib.Path(os.path.realpath(folder)).parents}
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders.sort()
        seen.add(os.path.realpath(parent))
        visible = (name for name in folders if not is_hidden(name))
        folders[:] = [name for name in visible if os.path.realpath(os.path.join(parent, name)) not in seen]
        prefix = os.path.relpath(parent, folder).replace(os.sep, "/")
        for name in names:
            place = os.path.join(parent, name)
            if os.path.isfile(place) or not os.path.exists(place):  # a pipe would be waited for
                yield name if prefix == "." else f"{prefix}/{name}"


def _members(path: epath.Path) -> list[tuple[str, TextPath]]:
    try:
        archive = zipfile.ZipFile(path.open("rb"))  # as long as its members live
        archive.filename = str(path)
        return [
            (name.replace("\\", "/"), zipfile.Path(archive, name))
            for name in archive.namelist()
            if not name.endswith("/") and not name.lower().endswith((".parquet", ".pq"))
        ]
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a zip: {error}") from None


class TextSpec(SourceSpec):
    """`text:` of a glob, a folder or a zip."""

    def contents(self) -> Modality:
        return TEXT

    def document_files(self, what: str = "text source", *, quiet: bool = False) -> list[DocumentFile]:
        """Raises `InputError` for a glob without files, a folder without texts, and a file of no known format."""
        uri = self.uri
        uri.require_options("key", "format", "quote")
        if uri.option("quote", "none") != "none":
            raise InputError(f"{uri}: quote={uri.option('quote')} is unknown: quote=none reads a table without quotes")
        given = uri.option("format")
        paths = text_paths(uri.place, what, given_format=given, quiet=quiet)
        formats = [require_format(path, given) for path in paths]
        if uri.option("key") and set(formats) == {"txt"}:
            raise InputError(f"{uri}: a plain text has no keys: leave out the option key")
        key, quoted = uri.option("key", _DEFAULT_KEY), not uri.option("quote")
        return [
            WholeText(path) if format == "txt" else RowDocuments(open_rows(path, format, quoted=quoted), key)
            for path, format in zip(paths, formats, strict=True)
        ]

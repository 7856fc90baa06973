"""The files of a text source, of a glob, below a folder, or in a zip, and their documents, part by part."""

import logging
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from etils import epath

from pixjax.codec import TEXT, Modality
from pixjax.data.content import TextPath
from pixjax.data.paths import expand_glob, is_remote, reach
from pixjax.data.rows import RowDocuments
from pixjax.data.source_spec import Part, SourceSpec
from pixjax.data.text_formats import KNOWN, WholeText, format_of, open_rows, require_format
from pixjax.errors import InputError

_log = logging.getLogger("pixjax.data")

# About the texts beside them, not texts themselves.
_NOTES = ("readme", "license", "licence", "dataset_info.json", "dataset_infos.json", "state.json")

_DEFAULT_KEY = "text"


def text_paths(place: str, what: str, *, given_format: str = "", quiet: bool = False) -> list[TextPath]:
    """Sorted by name. Of a folder or a zip what is no text is left out, and the log says of what kind it is unless
    `quiet`; a glob names its files, so each of them counts. `what` names the source in errors.

    Raises `InputError` where there is no file.
    """
    folder = reach(place)
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
    entries = sorted((entry for entry in entries if not _is_hidden(entry[0])), key=lambda entry: entry[0])
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


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _is_note(name: str) -> bool:
    return name.rsplit("/", 1)[-1].lower().startswith(_NOTES)


def _kind_of(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    return base if _is_note(name) else os.path.splitext(base)[1].lower() or "without an ending"


def _names_below(folder: epath.Path) -> Iterator[str]:
    """Relative, with forward slashes. A folder that is reached a second time, by a link, is not read again."""
    if is_remote(folder):
        yield from folder.files_below()
        return
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        seen.add(os.path.realpath(parent))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(parent, name)) not in seen]
        prefix = os.path.relpath(parent, folder).replace(os.sep, "/")
        yield from (name if prefix == "." else f"{prefix}/{name}" for name in names)


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

    def parts(self, what: str = "text source", *, quiet: bool = False) -> list[Part]:
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

"""Captions in the rows of a table that lies beside the pictures."""

from etils import epath

from pixjax.data.bad_rows import BadRow
from pixjax.data.paths import reach
from pixjax.data.text_formats import ENDINGS, TABLES, open_rows, require_format
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

# The first of these that a row has.
_FILE_KEYS = ("file", "file_name", "filename", "image")
_CAPTION_KEYS = ("captions", "caption", "text")


def find_captions(uri: SourceUri) -> epath.Path | None:
    """The table that the option `captions` names, or one beside the pictures; None without either."""
    path = reach(uri.place)
    if given := uri.option("captions"):
        if not (listed := reach(given)).exists():
            raise InputError(f"{given!r}, the captions of {uri}, does not exist")
        return listed
    stems = (
        [path / "captions", path / "metadata"] if path.is_dir() else [path.with_suffix(""), path.parent / "captions"]
    )
    endings = [ending for name in TABLES for ending in ENDINGS[name]]
    beside = (stem.parent / (stem.name + ending) for stem in stems for ending in endings)
    return next((file for file in beside if file.exists() and (file.stem != "metadata" or _has_captions(file))), None)


def _has_captions(path: epath.Path) -> bool:
    """What is called metadata may be about something else."""
    first = next((row for _, _, row in open_rows(path, require_format(path, "", TABLES)).rows()), None)
    return isinstance(first, dict) and any(key in first for key in _CAPTION_KEYS)


def read_captions(path: epath.Path) -> dict[str, tuple[str, ...]]:
    """Captions by file; a file may have several rows. Raises `InputError` for a row of another form."""
    captions: dict[str, tuple[str, ...]] = {}
    # Captions that are called .txt are lines of a table.
    file = open_rows(path, "csv" if path.suffix.lower() == ".txt" else require_format(path, "", TABLES))
    unit = file.unit
    for _, number, row in file.rows():
        if isinstance(row, BadRow):
            place = f"{path} {unit} {number}" if row.cause != "corrupt" or "UTF-8" not in row.detail else path
            raise InputError(f"{place}{row.detail}")
        name = next((row[key] for key in _FILE_KEYS if key in row), None) if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise InputError(f"{path} {unit} {number} is not a JSON object with the key 'file'")
        found = next((row[key] for key in _CAPTION_KEYS if key in row), None)
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not found or not all(isinstance(text, str) for text in found):
            raise InputError(f"{path}: the entry of {name} has neither 'captions', a list of texts, nor 'caption'")
        captions[name] = (*captions.get(name, ()), *found)
    return captions

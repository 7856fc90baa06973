"""Which files hold text, by their endings, and how each kind is read."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pixjax.data.bad_records import BadRow
from pixjax.data.content import COMPRESSIONS, TextPath, opened, plain_name
from pixjax.data.parquet import ParquetRows
from pixjax.data.row_formats import JsonFile, JsonLines, Table
from pixjax.data.rows import Rows
from pixjax.errors import InputError

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

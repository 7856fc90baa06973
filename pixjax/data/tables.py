"""Rows of .csv and .tsv files, whose first row names the columns."""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from pixjax.data.bad_rows import BadRow
from pixjax.data.content import TextPath, opened
from pixjax.data.rows import name_another
from pixjax.errors import InputError

_LONGEST_FIELD = 2**28  # characters; what a quote that is never closed swallows ends here


@dataclasses.dataclass(frozen=True)
class Table:
    """A mapping by column for each row; its place is the byte where the row begins.

    Fields may be quoted, and quoted ones may hold line ends and anything else. A row may have fewer fields than there
    are columns, not more: then a text with a separator was not quoted, and only a part of it would be read.
    """

    path: TextPath
    separator: str
    quoted: bool = True
    unit = "line"
    place_unit = "byte"

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        columns, separator, first, lines_before = self._header(keys)
        if not columns:
            return
        with opened(self.path, start or first) as (file, place):
            lines = _Lines(file, place, 0 if start else lines_before)
            reader = self._reader(lines, separator)
            while True:
                place, number = lines.place, lines.number + 1
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield place, number, BadRow("corrupt", f" is not a row of fields ({error})")
                    continue
                if row:
                    yield place, number, _by_column(columns, row, keys)

    def _header(self, keys: Sequence[str]) -> tuple[list[str], str, int, int]:
        """Names of the columns, what separates them, and the byte and the line after them. Empty for an empty file."""
        separators = [self.separator, *(other for other in ";\t" if other != self.separator)]
        found = []
        for separator in separators:  # tables of spreadsheets are separated as the country has it
            with opened(self.path) as (file, place):
                lines = _Lines(file, place)
                try:
                    row = next(filter(None, self._reader(lines, separator)), None)
                except csv.Error as error:
                    raise InputError(f"{self.path} line 1 names no columns ({error})") from None
                if row is None:
                    return [], separator, 0, 0
                columns = [name.strip() for name in row]
                found.append((columns, separator, lines.place, lines.number))
            if set(keys) <= set(columns):
                break
        else:
            missing = next(key for key in keys if key not in found[0][0])
            raise InputError(f"{self.path} has no column {missing!r}: {name_another(found[0][0])}")
        if twice := next((key for key in keys if columns.count(key) > 1), None):
            raise InputError(f"{self.path} has {columns.count(twice)} columns {twice!r}: rename all but one")
        return found[-1]

    def _reader(self, lines: Iterator[str], separator: str) -> Iterator[list[str]]:
        csv.field_size_limit(_LONGEST_FIELD)
        if not self.quoted:
            return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
        return csv.reader(lines, delimiter=separator, strict=True)


def _by_column(columns: Sequence[str], row: Sequence[str], keys: Sequence[str]) -> dict[str, str] | BadRow:
    fields = dict(zip(columns, row, strict=False))
    if any(row[len(columns) :]) or any(key not in fields for key in keys):
        cause = "corrupt" if len(row) > len(columns) else "missing"
        return BadRow(cause, f" has {len(row)} fields and the first row {len(columns)}: is each quoted that needs it?")
    return fields


class _Lines:
    """Lines with their ends, whatever these are; `place` is the byte after, `number` the number of the last one."""

    def __init__(self, file: BinaryIO, place: int, number: int = 0):
        self.place, self.number = place, number
        self._lines = self._split(file)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.place += len(line)
        self.number += 1
        # What is not UTF-8 becomes lone surrogates, so that it spoils its own row alone.
        return line.decode("utf-8", "surrogateescape")

    @staticmethod
    def _split(file: BinaryIO) -> Iterator[bytes]:
        for line in file:
            if line.find(b"\r", 0, -2) < 0:
                yield line
            else:
                yield from line.splitlines(keepends=True)

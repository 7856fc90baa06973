"""Rows of .csv and .tsv files, whose first row names the columns, and of JSON: one a line, the elements of a list, or
values one after another, read without holding the file.
"""

import codecs
import csv
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from pixjax.data.bad_records import BadRow
from pixjax.data.content import TextPath, opened
from pixjax.data.rows import name_another
from pixjax.errors import InputError

_LONGEST_FIELD = 2**28  # characters; what a quote that is never closed swallows ends here

_BLOCK = 2**16
_LONGEST_FIRST_LINE = 2**20  # bytes that are looked at to tell lines from values that span them
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_ERROR_AT_END = 16  # characters: what is said of a value that is only cut off lies that near to the end


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


@dataclasses.dataclass(frozen=True)
class JsonLines:
    """A value a line; its place is the byte where the line begins."""

    path: TextPath
    unit = "line"
    place_unit = "byte"

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        with opened(self.path, start) as (file, place):
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield place, number, _parse_line(line, place)
                place += len(line)


def _parse_line(line: bytes, place: int) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return BadRow("corrupt", f" is not UTF-8 text: byte {place + error.start} cannot be decoded")
    except (ValueError, RecursionError) as error:
        return BadRow("corrupt", f" is not a JSON object ({' '.join(str(error).split()):.80})")


@dataclasses.dataclass(frozen=True)
class JsonFile:
    """A `.json` file: lines if its first line is a value by itself, else the elements of its list, else its values.

    A place is the byte where a value begins. A list or a value that is broken ends the reading, as it cannot be told
    where the next begins.
    """

    path: TextPath
    place_unit = "byte"

    @property
    def unit(self) -> str:
        return "line" if self._kind() == "lines" else "element"

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        if (kind := self._kind()) == "lines":
            yield from JsonLines(self.path).rows(start)
            return
        with opened(self.path, start) as (file, place):
            yield from self._values(file, place, listed=kind == "list", begun=start > 0)

    def _kind(self) -> str:
        with opened(self.path) as (file, _):
            line = b" "
            while line and line.isspace():
                line = file.readline(_LONGEST_FIRST_LINE)
        if line.lstrip().startswith(b"["):
            return "list"
        return "values" if isinstance(_parse_line(line, 0), BadRow) else "lines"

    def _values(self, file: BinaryIO, place: int, *, listed: bool, begun: bool) -> Iterator[tuple[int, int, Any]]:
        decoder, text = json.JSONDecoder(), _Text(file, place)
        if listed and not begun:
            text.skip()
            text.advance(1)
        number = 1
        while text.skip():
            if listed and text.rest.startswith("]", text.at):
                text.advance(1)
                if text.skip():
                    raise InputError(f"{self.path}: there is more after its list, at byte {text.place:,}")
                return
            try:
                value, end = decoder.raw_decode(text.rest, text.at)
            except RecursionError:
                raise InputError(f"{self.path} element {number} is not JSON: it is nested too deeply") from None
            except json.JSONDecodeError as error:
                cut_off = error.msg.startswith("Unterminated") or error.pos >= len(text.rest) - _ERROR_AT_END
                if cut_off and text.fill():
                    continue
                raise InputError(
                    f"{self.path} element {number}, at byte {text.place:,}, is not JSON ({error.msg}): mend it, or "
                    "write one object a line, of which a broken one is passed over"
                ) from None
            if end == len(text.rest) and text.fill():  # a number may go on
                continue
            yield text.place, number, value
            text.advance(end - text.at)
            number += 1
        if listed:
            raise InputError(f"{self.path} ends in the middle of its list: is it whole?")


class _Text:
    """A window of a file's text that grows at its end: `rest[at:]` is still to be read, and stands at byte `place`."""

    def __init__(self, file: BinaryIO, place: int):
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.rest, self.at, self.place = "", 0, place

    def fill(self) -> bool:
        """Twice what is there, so that a long value is looked at seldom. False at the end of the file."""
        data = self._file.read(max(_BLOCK, len(self.rest) - self.at))
        self.rest, self.at = self.rest[self.at :] + self._decoder.decode(data, not data), 0
        return bool(data)

    def advance(self, count: int) -> None:
        passed = self.rest[self.at : self.at + count]
        self.place += len(passed) if passed.isascii() else len(passed.encode("utf-8", "surrogateescape"))
        self.at += count

    def skip(self) -> bool:
        """Goes to where the next value begins. False where there is none."""
        while True:
            self.advance(_BETWEEN.match(self.rest, self.at).end() - self.at)  # type: ignore[union-attr]
            if self.at < len(self.rest):
                return True
            if not self.fill():
                return False

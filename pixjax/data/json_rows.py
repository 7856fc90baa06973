"""Rows of JSON: one a line, or the elements of a list, or values one after another, read without holding the file."""

import codecs
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from pixjax.data.bad_rows import BadRow
from pixjax.data.content import TextPath, opened
from pixjax.errors import InputError

_BLOCK = 2**16
_LONGEST_FIRST_LINE = 2**20  # bytes that are looked at to tell lines from values that span them
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_ERROR_AT_END = 16  # characters: what is said of a value that is only cut off lies that near to the end


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

"""Rows of a text file: what a line, an element of a list or a row of a table says, wherever reading begins."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pixjax.data.bad_rows import BadRow
from pixjax.errors import InputError

_SHOWN = 12  # names of columns in a message


class Rows(Protocol):
    """A file of rows. `unit` is what one is called there, `place_unit` what places count."""

    unit: str
    place_unit: str

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        """Place, number (1 is the first of the file, or, where reading began later, of what was read) and content of
        each row that is not blank, from the one that stands at the place `start` on.

        The content is a mapping with at least those `keys` that the row has, another value that is not one, or a
        `BadRow`. Raises `InputError` for a file that cannot be read, or that has no such columns.
        """
        ...


@dataclasses.dataclass(frozen=True)
class RowDocuments:
    """Of each row the text under `key` is a document; a row that is a text is one itself."""

    file: Rows
    path: Any
    key: str

    def read(self, start: int = 0) -> Iterator[tuple[int, str | BadRow]]:
        """Raises `InputError` for a file of several rows none of which is a document, when it was read as a whole."""
        num_good = num_bad = 0
        first_bad = None
        for place, number, row in self.file.rows(start, (self.key,)):
            text = _text_of(row, self.key)
            if type(text) is str:
                num_good += 1
                yield place, text
                continue
            # Rows before the start were not counted.
            where = f"{self.path} {self.file.unit} {number}"
            if start:
                where = f"{self.path}, the {self.file.unit} at {self.file.place_unit} {place:,},"
            bad = dataclasses.replace(text, where=where)
            num_bad += 1
            first_bad = first_bad or bad
            yield place, bad
        if first_bad and num_bad > 1 and not num_good and not start:
            raise InputError(f"{first_bad}, and none of its other {num_bad - 1:,} {self.file.unit}s is better")


def _text_of(row: Any, key: str) -> str | BadRow:
    if isinstance(row, dict):
        text = row.get(key, _ABSENT)
    elif isinstance(row, str):
        text = row
    elif isinstance(row, BadRow):
        return row
    else:
        return BadRow("unreadable", f" is not a JSON object with the key {key!r}")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if isinstance(text, str):
        return text if is_unicode(text) else BadRow("corrupt", f": {key!r} has bytes or halves that are not Unicode")
    if text is _ABSENT:
        return BadRow("missing", f" is not a JSON object with the key {key!r}: {name_another(row)}")
    if text is None:
        return BadRow("missing", f": {key!r} is null")
    if isinstance(text, Mapping | list):
        return BadRow(
            "unreadable",
            f": {key!r} is not a string but {len(text):,} of them: write a row for each, as pandas does with "
            "orient='records', lines=True",
        )
    return BadRow("unreadable", f": {key!r} is not a string but {text!r:.40}")


_ABSENT = object()


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: what was no UTF-8 was read as lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def name_another(columns: Any) -> str:
    """The rest of a message about a key that is not among these."""
    names = [repr(str(name)[:40]) for name in columns]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there is {', '.join(names[:_SHOWN]) or 'none'}{more}; name one with ?key="

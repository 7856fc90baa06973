"""Rows of a text file: lines, elements of a list or rows of a table, wherever reading begins."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from pixjax.data.bad_records import BadRow
from pixjax.errors import InputError

T = TypeVar("T")

_SHOWN = 12  # names of columns in a message


@runtime_checkable
class Rows(Protocol):
    """A file of rows. `unit` is what one is called there, `place_unit` what places count."""

    @property
    def path(self) -> Any: ...

    @property
    def unit(self) -> str: ...

    @property
    def place_unit(self) -> str: ...

    def rows(self, start: int = 0, keys: Sequence[str] = ()) -> Iterator[tuple[int, int, Any]]:
        """Place, number (1 is the first of the file, or, where reading began later, of what was read) and content of
        each row that is not blank, from the one that stands at the place `start` on.

        The content is a mapping with at least those `keys` that the row has, another value that is not one, or a
        `BadRow`. Raises `InputError` for a file that cannot be read, or that has no such columns.
        """
        ...


def read_rows(
    file: Rows, keys: Sequence[str], make: Callable[[Any, int], T | BadRow], start: int = 0
) -> Iterator[tuple[int, T | BadRow]]:
    """Place, and what `make` makes of the content and the number of a row, or its `BadRow`.

    Raises `InputError` for a file of several rows all of which are bad, where it is read from its beginning.
    """
    num_good = num_bad = 0
    first_bad = None
    for place, number, row in file.rows(start, keys):
        made = row if isinstance(row, BadRow) else make(row, number)
        if isinstance(made, BadRow):
            # Rows before the start were not counted.
            where = f"the {file.unit} at {file.place_unit} {place:,}," if start else f"{file.unit} {number}"
            made = dataclasses.replace(made, where=f"{file.path}{', ' if start else ' '}{where}")
            num_bad += 1
            first_bad = first_bad or made
        else:
            num_good += 1
        yield place, made
    if first_bad and num_bad > 1 and not num_good and not start:
        raise InputError(f"{first_bad}, and none of its other {num_bad - 1:,} {file.unit}s is better")


@dataclasses.dataclass(frozen=True)
class RowDocuments:
    """Documents of rows: the text under `key` of each; a row that is a text is one itself."""

    file: Rows
    key: str

    def read(self, start: int = 0) -> Iterator[tuple[int, str | BadRow]]:
        """Raises `InputError` for a file of several rows none of which is a document, when it is read from its
        beginning.
        """
        return read_rows(self.file, (self.key,), lambda row, _: _text_of(row, self.key), start)


def _text_of(row: Any, key: str) -> str | BadRow:
    if isinstance(row, dict):
        text = row.get(key, _ABSENT)
    elif isinstance(row, str):
        text = row
    else:
        return BadRow("unreadable", f" is not a JSON object with the key {key!r}")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if isinstance(text, str):
        return text if is_unicode(text) else BadRow("corrupt", f": {key!r} is not UTF-8 text")
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

"""Rows of texts that cannot be used: passed over, counted, named in the log, and limited, as bad pictures are."""

import dataclasses
import logging
from collections import Counter

from pixjax.errors import InputError

_log = logging.getLogger("pixjax.data")
NAMED = 10  # in the log, of each source


@dataclasses.dataclass(frozen=True)
class BadRow:
    """`cause` is one of `pixjax.data.CAUSES`; `detail` goes on after the place of the row, `where`."""

    cause: str
    detail: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}{self.detail}"


class SkippedRows:
    """Those of `what`. `counts` is by cause; `limit` is the setting that holds `max_bad_fraction`."""

    def __init__(self, what: str, max_bad_fraction: float, limit: str = "data.max_bad_fraction"):
        self._what = what
        self._max_bad_fraction = max_bad_fraction
        self._limit = limit
        self._first: list[BadRow] = []
        self._last: BadRow | None = None
        self.counts: Counter[str] = Counter()

    def note(self, bad: BadRow) -> None:
        self.counts[bad.cause] += 1
        self._last = bad
        if len(self._first) < NAMED:
            self._first.append(bad)

    def require_few(self, num_good: int) -> None:
        """Raises `InputError` where nothing was good, or where more than the limit was bad, which a single row never
        is.
        """
        bad = self.counts.total()
        if bad and not num_good:
            raise InputError(str(self._first[0]))
        if bad > max(1, self._max_bad_fraction * (num_good + bad)):
            raise InputError(
                f"{self._what}: {bad:,} of {num_good + bad:,} rows cannot be used, more than "
                f"{self._limit}={self._max_bad_fraction:g} (the last: {self._last}); mend them, or raise {self._limit}"
            )

    def write_log(self) -> None:
        """Names the first ones, and says how many there are."""
        for row in self._first:
            _log.warning("%s: skipped %s (%s)", self._what, row, row.cause)
        if (bad := self.counts.total()) > len(self._first):
            _log.warning("%s: skipped %s rows in all", self._what, f"{bad:,}")

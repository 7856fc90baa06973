"""Records that cannot be used, rows of texts and pictures: passed over, counted, named in the log, and limited."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pixjax.data.images import CAUSES, missing_decoder
from pixjax.data.source import Source
from pixjax.errors import InputError, RunError

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
    """The rows of `what` that are passed over. `counts` is by cause; `limit` is the setting of `max_bad_fraction`."""

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
                f"{self._limit}={self._max_bad_fraction:g} (the last: {self._last}): mend them, or raise {self._limit}"
            )

    def write_log(self) -> None:
        """Names the first ones, and says how many there are."""
        for row in self._first:
            _log.warning("%s: skipped %s (%s)", self._what, row, row.cause)
        if (bad := self.counts.total()) > len(self._first):
            _log.warning("%s: skipped %s rows in all", self._what, f"{bad:,}")


class BadPictures:
    """`skipped` counts by cause, of rows that this host made; a bad record is counted each time it is drawn."""

    def __init__(self, sources: Sequence[Source], max_bad_fraction: float):
        self._sources = sources
        self._max_bad_fraction = max_bad_fraction
        self._records: list[set[int]] = [set() for _ in sources]
        self.skipped: Counter[str] = Counter()

    def note(self, bad: Iterable[Sequence[int]]) -> None:
        """Takes rows of (source, record, cause). Raises `RunError` where too much of a source is bad."""
        for number, record, cause in bad:
            source: Any = self._sources[number]
            known = self._records[number]
            self.skipped[CAUSES[cause]] += 1
            if record in known:
                continue
            known.add(record)
            name = source.name(record)
            _log.warning("%s: skipped %s (%s)", source.uri, name, CAUSES[cause])
            # One broken file among a few is no reason to stop.
            if len(known) > max(1, self._max_bad_fraction * len(source)):
                needs = "".join(
                    f", {need}" for need in sorted({missing_decoder(source.name(bad)) for bad in known} - {""})
                )
                raise RunError(
                    f"{source.uri}: {len(known)} of {len(source)} pictures cannot be used, "
                    f"more than data.max_bad_fraction={self._max_bad_fraction:g} (the last: {name}, "
                    f"{CAUSES[cause]}{needs}); remove them or raise data.max_bad_fraction"
                )

    def get_state(self) -> dict[str, Any]:
        """JSON-able."""
        records = zip(self._sources, self._records, strict=True)
        return {
            "skipped": dict(self.skipped),
            "bad_records": {source.uri: sorted(known) for source, known in records if known},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on counting where `get_state` was taken; from nothing where the state does not say."""
        self.skipped = Counter(state.get("skipped", {}))
        of_source = state.get("bad_records", {})
        self._records = [set(of_source.get(source.uri, ())) for source in self._sources]

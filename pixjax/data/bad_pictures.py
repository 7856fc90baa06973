"""What was passed over since the beginning of a run: counted, named once in the log, and limited."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pixjax.data.images import CAUSES, missing_decoder
from pixjax.data.source import Source
from pixjax.errors import RunError

_log = logging.getLogger("pixjax.data")


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

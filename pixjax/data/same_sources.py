"""Are the sources those that a run began with? Its order of records is drawn from how many there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from pixjax.data.source import Source
from pixjax.errors import InputError

_REMEDY = "or start another run from its weights with training.init_from"

Sizes = Mapping[str, Mapping[str, int]]


def source_sizes(sources: Sequence[Source]) -> dict[str, dict[str, int]]:
    """By URI the number of records, and of tokens where it knows them. JSON-able, the same on every host."""
    return {source.uri: _sizes(source) for source in sources}


def _sizes(source: Any) -> dict[str, int]:
    tokens = {"tokens": source.num_tokens} if hasattr(source, "num_tokens") else {}
    return {**tokens, "records": len(source)}


def require_same_sources(saved: Sizes, sources: Sequence[Source]) -> None:
    """Raises `InputError` naming the first source that is not what `source_sizes` said of it when it was saved.

    A file added under a glob would otherwise go unnoticed, and put every later record into another place.
    """
    now = source_sizes(sources)
    for uri in (*saved, *now):
        if uri not in now or uri not in saved:
            where = ("was a source", "is none now") if uri in saved else ("is a source", "was none")
            raise InputError(
                f"{uri} {where[0]} and {where[1]} of the run that was saved: set data.sources as it was, {_REMEDY}"
            )
        for unit, count in now[uri].items():
            if saved[uri].get(unit) != count:
                raise InputError(
                    f"{uri} has {count:,} {unit} and had {saved[uri].get(unit, 0):,} when the run was saved, so that "
                    f"its batches would be others: put its files back as they were, {_REMEDY}"
                )

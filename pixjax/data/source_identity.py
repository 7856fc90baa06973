"""The identity of sources: whether they are those that a run began with, whose number sets the order of records.

A source is what it holds, not the path under which it lies: data are copied to the disk of a node, and moved. Where
content is in memory or has checksums beside it, all of it counts. Of a folder of pictures the names count and a few of
the files: to read them all would take as long as an epoch.
"""

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pixjax.data.files import Files
from pixjax.data.source import Source
from pixjax.errors import InputError

_SAMPLED = 64
SAMPLED_BYTES = 2**16  # of each file

_REMEDY = "or start another run from its weights with training.init_from"

State = Mapping[str, Mapping[str, Any]]


def digest(parts: Iterable[bytes | memoryview | str | int]) -> str:
    """sha256, in hexadecimal; parts cannot run into one another."""
    whole = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes | memoryview) else str(part).encode("utf-8", "surrogateescape")
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.hexdigest()


def sampled(count: int) -> list[int]:
    """The first of `count` records, the last, and some spread between them; all where there are few."""
    if count <= _SAMPLED:
        return list(range(count))
    return [number * (count - 1) // (_SAMPLED - 1) for number in range(_SAMPLED)]


def fingerprint_of_files(files: Files) -> str:
    """A digest of all names, and of some of the files, below whatever folder or in whatever archive they lie."""
    return digest([*files.names, *(_content(files, index) for index in sampled(len(files.names)))])


def _content(files: Files, index: int) -> bytes:
    try:
        return files.read(index)[:SAMPLED_BYTES]
    except (OSError, zipfile.BadZipFile):  # a bad picture, which is counted when it is drawn
        return b""


def fingerprint_of(source: Any) -> str | None:
    """The fingerprint of a source; None for one that has none, which is known by its path alone."""
    fingerprint = getattr(source, "fingerprint", None)
    return fingerprint() if fingerprint else None


def source_state(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """By URI, in the order of the sources, the number of records, and of tokens and a digest of the content where it
    knows them. JSON-able, the same on every host.
    """
    return {source.uri: _state(source) for source in sources}


def _state(source: Any) -> dict[str, Any]:
    known = {
        "tokens": getattr(source, "num_tokens", None),
        "records": len(source),
        "content": fingerprint_of(source),
    }
    return {name: value for name, value in known.items() if value is not None}


def moved_sources(saved: State, now: State) -> dict[str, str]:
    """The new URI of each source that lies elsewhere than `source_state` said when a run was saved.

    Raises `InputError` naming the first source that is not what it was. A file added under a glob would otherwise go
    unnoticed, and put every later record into another place.
    """
    if len(saved) != len(now):
        for uri in (*saved, *now):
            if uri not in now or uri not in saved:
                raise _come_or_gone(uri, uri in saved)
    moved = {}
    for old, new in zip(saved, now, strict=True):
        for unit in ("tokens", "records"):
            if (count := now[new].get(unit)) != (before := saved[old].get(unit)) and count is not None:
                where = new if old == new else f"{new}, in the place of {old},"
                raise InputError(
                    f"{where} has {count:,} {unit} and had {before or 0:,} when the run was saved, so that its batches "
                    f"would be others: put its files back as they were, {_REMEDY}"
                )
        if old == new:
            continue
        if "content" not in saved[old]:  # a run of an earlier version, or a source without a fingerprint
            raise _come_or_gone(old, True)
        if saved[old] != now[new]:
            raise InputError(
                f"{new} has other content than {old} had when the run was saved: put its files back as they were, "
                f"{_REMEDY}"
            )
        moved[old] = new
    return moved


def changed_content(saved: State, now: State) -> list[str]:
    """The sources that have other content of equal size under the path where they were, as after one was mended."""
    digests = {uri: (saved.get(uri, {}).get("content"), state.get("content")) for uri, state in now.items()}
    return [uri for uri, (before, here) in digests.items() if before and here and before != here]


def _come_or_gone(uri: str, gone: bool) -> InputError:
    was, now = ("was a source", "is none now") if gone else ("is a source", "was none")
    return InputError(f"{uri} {was} and {now} of the run that was saved: set data.sources as it was, {_REMEDY}")

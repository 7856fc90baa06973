"""What a source holds, as one digest that is the same wherever its files lie.

Where content is in memory or has checksums beside it, all of it counts. Of a folder of pictures the names count and a
few of the files: to read them all would take as long as an epoch.
"""

import hashlib
import zipfile
from collections.abc import Iterable
from typing import Any

from pixjax.data.files import Files

_SAMPLED = 64
SAMPLED_BYTES = 2**16  # of each file


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
    """Of all names, and of some of the files, below whatever folder or in whatever archive they lie."""
    return digest([*files.names, *(_content(files, index) for index in sampled(len(files.names)))])


def _content(files: Files, index: int) -> bytes:
    try:
        return files.read(index)[:SAMPLED_BYTES]
    except (OSError, zipfile.BadZipFile):  # a bad picture, which is counted when it is drawn
        return b""


def fingerprint_of(source: Any) -> str | None:
    """Of a source; None for one that has none, which is known by its path alone."""
    fingerprint = getattr(source, "fingerprint", None)
    return fingerprint() if fingerprint else None

"""A long sequence of token ids of which pieces are read: in memory, shared with the workers instead of
copied.
"""

import os
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from pixjax.data.fingerprint import digest

Span = tuple[int, int]  # the first token and the one after the last


@runtime_checkable
class Tokens(Protocol):
    def __len__(self) -> int: ...

    def read(self, spans: Sequence[Span]) -> list[Integer[np.ndarray, " length"]]:
        """The ids of each span, none of which reaches beyond the end."""
        ...

    def fingerprint(self) -> str: ...


class MemoryTokens:
    """All ids in one array.

    Sent to another process on the same machine, a large array travels as an open file that the other maps:
    workers share its pages. The file has no name, so that nothing is left behind however the processes end.
    """

    _SMALL = 2**20  # bytes; less is simply copied

    def __init__(self, ids: Integer[np.ndarray, " tokens"]):
        self.ids = ids
        self._file: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, spans: Sequence[Span]) -> list[Integer[np.ndarray, " length"]]:
        return [self.ids[start:stop] for start, stop in spans]

    def fingerprint(self) -> str:
        return digest([self.ids.dtype.str, np.ascontiguousarray(self.ids).view(np.uint8).data])

    def __reduce__(self):
        if self.ids.nbytes < self._SMALL or not os.path.isdir("/proc/self/fd"):
            return type(self), (self.ids,)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # as long as this object lives
            self._file.write(self.ids.data)
            self._file.flush()
        path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        return _map_tokens, (path, self.ids.dtype.str, len(self.ids))


def _map_tokens(path: str, dtype: str, length: int) -> MemoryTokens:
    return MemoryTokens(np.memmap(path, dtype, mode="r", shape=(length,)))

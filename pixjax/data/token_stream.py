"""Text as one long ring of token ids, cut into windows whose borders move from epoch to epoch.

The ids lie in memory, shared with the workers instead of copied.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt64

from pixjax.codec import TEXT, CanvasCodec
from pixjax.codec.coverage import Coverage, CoverageCounter
from pixjax.data.keys import randint
from pixjax.data.source_identity import digest

Span = tuple[int, int]  # the first token and the one after the last


@runtime_checkable
class Tokens(Protocol):
    def __len__(self) -> int: ...

    def read(self, spans: Sequence[Span]) -> list[Integer[np.ndarray, " _length"]]:
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

    def read(self, spans: Sequence[Span]) -> list[Integer[np.ndarray, " _length"]]:
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


class TokenStream:
    """Documents joined by EOS into one ring of tokens.

    An epoch begins at a random place of the ring and goes once around it, so that each token is seen once an
    epoch and canvas borders fall elsewhere in the next. What is left of the last window is PAD.
    """

    modality = TEXT

    def __init__(
        self,
        uri: str,
        tokens: Tokens,
        *,
        capacity: int,
        pad_id: int,
        coverage: Coverage | None = None,
        skipped: Mapping[str, int] | None = None,
    ):
        self.uri = uri
        self.tokens = tokens
        self.coverage = coverage
        self.skipped = dict(skipped or {})  # rows that could not be used, by cause
        self._capacity = capacity
        self._pad_id = pad_id

    def __len__(self) -> int:
        return -(-len(self.tokens) // self._capacity)

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    def fingerprint(self) -> str:
        return self.tokens.fingerprint()

    def windows(
        self, record: Int64[np.ndarray, "n"], epoch_key: UInt64[np.ndarray, "n"]
    ) -> tuple[Int32[np.ndarray, "n capacity"], Int64[np.ndarray, "n"]]:
        starts, lengths = self._places(record, epoch_key)
        ids = np.full((len(record), self._capacity), self._pad_id, np.int32)
        for row, window in enumerate(self._read(starts, lengths)):
            ids[row, : len(window)] = window
        return ids, lengths

    def before(
        self, record: Int64[np.ndarray, "n"], epoch_key: UInt64[np.ndarray, "n"], count: int
    ) -> list[Int32[np.ndarray, "length"]]:
        starts, lengths = self._places(record, epoch_key)
        size = len(self.tokens)
        if size <= self._capacity:
            return [np.zeros(0, np.int32)] * len(record)
        counts = np.minimum(count, size - lengths)  # once around the ring, they would be those of the window itself
        return [piece.astype(np.int32) for piece in self._read((starts - counts) % size, counts)]

    def _places(self, record, epoch_key) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
        """Where on the ring each window begins, and how long it is."""
        size = len(self.tokens)
        # A stream that fits on one canvas is read from its beginning.
        offset = randint(epoch_key, size) if size > self._capacity else np.zeros(len(record), np.int64)
        lengths = np.minimum(size - record * self._capacity, self._capacity)
        return (record * self._capacity + offset) % size, lengths

    def _read(self, starts: Int64[np.ndarray, "n"], lengths: Int64[np.ndarray, "n"]) -> list[Integer[np.ndarray, "_"]]:
        """Pieces of the ring; one that reaches beyond its end goes on at its beginning."""
        size = len(self.tokens)
        stops = starts + lengths
        spans = [(a, min(b, size)) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        wrapped = np.flatnonzero(stops > size).tolist()
        spans += [(0, int(stops[row]) - size) for row in wrapped]
        pieces = self.tokens.read(spans)
        for row, rest in zip(wrapped, pieces[len(starts) :], strict=True):
            pieces[row] = np.concatenate([pieces[row], rest])
        return pieces[: len(starts)]


def same_document(ids: Integer[np.ndarray, "tokens"], codec: CanvasCodec) -> Integer[np.ndarray, "rest"]:
    """What of these tokens belongs to the document that goes on after them: all that follow the last EOS.

    Where EOS is drawn as a space (`chars27`) no document can be told from the next: they are one.
    """
    if codec.eos_id == codec.pad_id:
        return ids
    ends = np.flatnonzero(ids == codec.eos_id)
    return ids[ends[-1] + 1 :] if len(ends) else ids


def tokenize_documents(documents: Iterable[str], codec: CanvasCodec) -> tuple[Integer[np.ndarray, "tokens"], Coverage]:
    """All documents as one array, each followed by EOS, in the smallest type that holds the vocabulary.

    Also what of them is in it.
    """
    smallest = np.min_scalar_type(codec.vocab_size - 1)
    parts, counter = [], CoverageCounter(codec.text_tokenizer)
    for document in documents:
        ids = codec.tokenize(document)
        counter.add(document, ids)
        parts += [ids.astype(smallest), np.array([codec.eos_id], smallest)]
    return (np.concatenate(parts) if parts else np.zeros(0, smallest)), counter.coverage

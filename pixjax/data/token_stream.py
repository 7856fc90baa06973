"""Text as one long ring of token ids, cut into windows whose borders move from epoch to epoch."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt64

from pixjax.codec import TEXT, CanvasCodec
from pixjax.data.keys import randint
from pixjax.data.tokens import Tokens


class TokenStream:
    """Documents joined by EOS into one ring of tokens.

    An epoch begins at a random place of the ring and goes once around it, so that each token is seen once an
    epoch and canvas borders fall elsewhere in the next. What is left of the last window is PAD.
    """

    modality = TEXT

    def __init__(self, uri: str, tokens: Tokens, *, capacity: int, pad_id: int):
        self.uri = uri
        self.tokens = tokens
        self._capacity = capacity
        self._pad_id = pad_id

    def __len__(self) -> int:
        return -(-len(self.tokens) // self._capacity)

    @property
    def num_tokens(self) -> int:
        return len(self.tokens)

    def windows(
        self, record: Int64[np.ndarray, "n"], epoch_key: UInt64[np.ndarray, "n"]
    ) -> tuple[Int32[np.ndarray, "n capacity"], Int64[np.ndarray, "n"]]:
        size = len(self.tokens)
        # A stream that fits on one canvas is read from its beginning.
        offset = randint(epoch_key, size) if size > self._capacity else np.zeros(len(record), np.int64)
        lengths = np.minimum(size - record * self._capacity, self._capacity)
        starts = (record * self._capacity + offset) % size
        stops = starts + lengths
        # A window that reaches beyond the end of the ring goes on at its beginning.
        spans = [(a, min(b, size)) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        wrapped = np.flatnonzero(stops > size)
        spans += [(0, int(stops[row]) - size) for row in wrapped]
        ids = np.full((len(record), self._capacity), self._pad_id, np.int32)
        pieces = self.tokens.read(spans)
        for row, piece in enumerate(pieces[: len(record)]):
            ids[row, : len(piece)] = piece
        for row, piece in zip(wrapped.tolist(), pieces[len(record) :], strict=True):
            ids[row, lengths[row] - len(piece) : lengths[row]] = piece
        return ids, lengths


def tokenize_documents(documents: Iterable[str], codec: CanvasCodec) -> Integer[np.ndarray, "tokens"]:
    """All documents as one array, each followed by EOS, in the smallest type that holds the vocabulary."""
    smallest = np.min_scalar_type(codec.vocab_size - 1)
    parts = []
    for document in documents:
        parts += [codec.tokenize(document).astype(smallest), np.array([codec.eos_id], smallest)]
    return np.concatenate(parts) if parts else np.zeros(0, smallest)

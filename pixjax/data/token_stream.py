"""`text:` and all other text: one long array of token ids, cut into windows that move each epoch."""

import gzip
import json
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath
from jaxtyping import Int32, Int64, UInt64

from pixjax.codec import TEXT, CanvasCodec
from pixjax.data.keys import randint
from pixjax.data.paths import expand_glob
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


class TokenStream:
    """Documents joined by EOS into one ring of tokens.

    An epoch begins at a random place of the ring and goes once around it, so that each token is seen once an
    epoch and canvas borders fall elsewhere in the next. What is left of the last window is PAD.
    """

    modality = TEXT

    def __init__(self, uri: str, tokens: np.ndarray, *, capacity: int, pad_id: int):
        self.uri = uri
        self.tokens = tokens
        self._capacity = capacity
        self._pad_id = pad_id

    def __len__(self) -> int:
        return -(-len(self.tokens) // self._capacity)

    def windows(
        self, record: Int64[np.ndarray, " n"], epoch_key: UInt64[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, "n capacity"], Int64[np.ndarray, " n"]]:
        size = len(self.tokens)
        # A stream that fits on one canvas is read from its beginning.
        offset = randint(epoch_key, size) if size > self._capacity else np.zeros(len(record), np.int64)
        place = record[:, None] * self._capacity + np.arange(self._capacity)
        ids = self.tokens[(place + offset[:, None]) % size].astype(np.int32)
        ids[place >= size] = self._pad_id
        return ids, np.minimum(size - record * self._capacity, self._capacity)


def tokenize_documents(documents: Iterable[str], codec: CanvasCodec) -> np.ndarray:
    """All documents as one array, each followed by EOS, in the smallest type that holds the vocabulary."""
    smallest = np.min_scalar_type(codec.vocab_size - 1)
    parts = []
    for document in documents:
        parts += [codec.tokenize(document).astype(smallest), np.array([codec.eos_id], smallest)]
    return np.concatenate(parts) if parts else np.zeros(0, smallest)


def open_text(uri: SourceUri, codec: CanvasCodec) -> TokenStream:
    """Raises `InputError` for an empty glob, a file that is not text, or one that cannot be tokenized."""
    uri.require_options()
    documents = (document for path in expand_glob(uri.place, "text source") for document in read_documents(path))
    tokens = tokenize_documents((d for d in documents if d), codec)
    if not len(tokens):
        raise InputError(f"text source {str(uri)!r} is empty: its files hold no text")
    return TokenStream(str(uri), tokens, capacity=codec.capacity, pad_id=codec.pad_id)


def read_documents(path: epath.Path) -> Iterator[str]:
    """A .txt file is one document; of a .jsonl file each line's `text` is one. Either may end in .gz."""
    name = path.name.lower().removesuffix(".gz")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.lower().endswith(".gz") else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} cannot be decoded") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not name.endswith(".jsonl"):
        yield text
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                document = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path} line {number} is not a JSON object with the key 'text'") from None
            if not isinstance(document, str):
                raise InputError(f"{path} line {number}: 'text' is not a string")
            yield document

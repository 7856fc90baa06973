"""Text as one stream of token ids, as the text canvases of pixjax hold it, and the windows that are cut from it."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Integer

from pixjax.codec import CanvasCodec
from pixjax.data.sources import text_documents
from pixjax.data.token_stream import tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


def read_stream(pattern: str, codec: CanvasCodec, what: str) -> Integer[np.ndarray, " tokens"]:
    """The documents of `text:PATTERN`, each followed by EOS.

    Raises `InputError`, which calls the pattern `what`, where nothing matches or a file is not text of this codec.
    """
    ids, coverage = tokenize_documents(text_documents(SourceUri.parse(f"text:{pattern}"), what=what), codec)
    coverage.require(f"{what}={pattern}", "--tokenizer=bytes reads every language")
    return ids


def count_characters(codec: CanvasCodec, ids: Integer[np.ndarray, " tokens"]) -> int:
    """Of the text that a stream of ids spells. An EOS is none, except in `chars27`, where it is a space."""
    if codec.pad_id == codec.eos_id:
        return len(codec.text_tokenizer.decode(ids))
    return sum(len(document) for document in codec.split_documents(ids))


def cut_windows(ids: Integer[np.ndarray, " tokens"], length: int, what: str) -> Integer[np.ndarray, "windows length"]:
    """The stream in windows that do not overlap; what is left at the end is dropped.

    Raises `InputError` where there are fewer than two, which have no standard error.
    """
    count = len(ids) // length
    if count < 2:
        raise InputError(
            f"{what} has {len(ids):,} tokens, fewer than two windows of --length={length}: give more of it"
        )
    return ids[: count * length].reshape(count, length)


def training_batches(
    ids: Integer[np.ndarray, " tokens"], *, length: int, batch_size: int, seed: int
) -> Iterator[Integer[np.ndarray, "batch_size length"]]:
    """Windows without end. An epoch begins at a random place of the stream and goes once around it, its windows in
    random order, as those of `pixjax.data.TokenStream`; less than a window is left out of each.
    """
    starts = _starts(len(ids), length, seed)
    while True:
        start = np.fromiter(itertools.islice(starts, batch_size), np.int64, batch_size)
        yield ids[(start[:, None] + np.arange(length)) % len(ids)]


def _starts(size: int, length: int, seed: int) -> Iterator[int]:
    for epoch in itertools.count():
        random = np.random.default_rng([seed, epoch])
        yield from (random.integers(size) + length * random.permutation(size // length)).tolist()

"""A stream of token ids: documents, each ended by EOS, cut into canvases, of which the last is filled with PAD."""

import numpy as np
from jaxtyping import Int, Integer

from pixjax.codec.tokenizer import Tokenizer


def pack(ids: Integer[np.ndarray, "n"], capacity: int, pad_id: int) -> Int[np.ndarray, "canvases capacity"]:
    """The stream cut into canvases, at least one."""
    count = max(1, -(-len(ids) // capacity))
    packed = np.full(count * capacity, pad_id, np.int32)
    packed[: len(ids)] = ids
    return packed.reshape(count, capacity)


def split_documents(ids: Integer[np.ndarray, "..."], tokenizer: Tokenizer) -> tuple[str, ...]:
    """The documents, split at EOS; PAD is not printed."""
    ids = np.asarray(ids).reshape(-1)
    if tokenizer.pad_id == tokenizer.eos_id:  # both drawn as a space: only those at the end can be told from the text
        return (tokenizer.decode(ids[: content_length(ids, tokenizer.pad_id)]),)
    return tuple(tokenizer.decode(document) for document in _ids_of_documents(ids, tokenizer))


def count_characters(ids: Integer[np.ndarray, "..."], tokenizer: Tokenizer) -> int:
    """How many characters begin in ids that may be cut anywhere, between the letters of a word or the bytes of a
    letter; PAD and EOS are none, but where they are drawn as a space every space is one.
    """
    ids = np.asarray(ids).reshape(-1)
    if tokenizer.pad_id == tokenizer.eos_id:
        return tokenizer.count_characters(ids)
    return sum(map(tokenizer.count_characters, _ids_of_documents(ids, tokenizer)))


def content_length(ids: Integer[np.ndarray, "n"], pad_id: int) -> int:
    """How many ids there are before the run of PAD at the end."""
    content = np.flatnonzero(ids != pad_id)
    return int(content[-1]) + 1 if len(content) else 0


def _ids_of_documents(ids: Integer[np.ndarray, "n"], tokenizer: Tokenizer) -> list[Integer[np.ndarray, "_"]]:
    """Without PAD and EOS, which have ids of their own here."""
    ids = ids[ids != tokenizer.pad_id]
    parts = np.split(ids, np.flatnonzero(ids == tokenizer.eos_id))
    return [part[part != tokenizer.eos_id] for part in parts]

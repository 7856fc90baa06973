"""A byte-level BPE tokenizer of any size, trained on text: every string has ids, and comes back exactly."""

import glob
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from pixjax.errors import InputError

EOS, PAD = "<|endoftext|>", "<|pad|>"
SMALLEST = 256 + 2
_LINES = 256  # lines a document: bounds memory on a book that is one file


def train_bpe(texts: Iterator[str], vocab_size: int) -> bytes:
    """The bytes of a `tokenizer.json` whose ids are EOS, PAD, the 256 bytes, then what was learned.

    Raises `InputError` for a vocabulary below 258, or text too short to fill it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from pixjax.codec.subword import MAX_VOCABULARY

    if not SMALLEST <= vocab_size <= MAX_VOCABULARY:
        raise InputError(f"--vocab-size={vocab_size} is out of range: choose {SMALLEST} to {MAX_VOCABULARY:,}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = tokenizer.get_vocab_size()
    if learned < vocab_size:
        raise InputError(
            f"the text yields only {learned:,} of {vocab_size:,} tokens: give more text, or a smaller size"
        )
    return tokenizer.to_str().encode("utf-8")


def iterate_texts(patterns: Sequence[str]) -> Iterator[str]:
    """Pieces of all files that the glob patterns match: .txt, or .jsonl with a `text` key, either gzipped.

    Raises `InputError` when a pattern matches nothing, or a file is not what its name says.
    """
    for pattern in patterns:
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise InputError(f"{pattern} matches no file: check the path")
        for path in paths:
            yield from _read_pieces(Path(path))


def _read_pieces(path: Path) -> Iterator[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    is_jsonl = ".jsonl" in path.suffixes
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            piece: list[str] = []
            for number, line in enumerate(file, 1):
                if is_jsonl:
                    try:
                        yield json.loads(line)["text"]
                    except (ValueError, KeyError, TypeError):
                        raise InputError(f"{path}, line {number}: no JSON object with a text key") from None
                    continue
                piece.append(line)
                if len(piece) == _LINES:
                    yield "".join(piece)
                    piece = []
            yield "".join(piece)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error}): check or convert it") from None

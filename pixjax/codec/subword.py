"""Tokenizers that come as files: Hugging Face `tokenizers`, GPT-2's pair of files, and SentencePiece."""

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Int

from pixjax.codec.coverage import characters_of
from pixjax.codec.tokenizer import begins_character, refuse_surrogates
from pixjax.errors import InputError

EOS, PAD = "<|endoftext|>", "<|pad|>"
SMALLEST = 256 + 2

MAX_VOCABULARY = 1 << 22  # far above any real one; a hostile file can claim four thousand million
_EOS_NAMES = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]", "<|im_end|>")
_DAMAGED = "is it whole, and of that kind?"
_ONE_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # a piece of a tokenizer that falls back to bytes
# How byte-level tokenizers write the 256 bytes, as GPT-2's does: those that print as themselves, the others in order.
_PRINTING = (*range(33, 127), *range(161, 173), *range(174, 256))
_BYTE_OF = {chr(byte): byte for byte in _PRINTING} | {
    chr(256 + number): byte for number, byte in enumerate(sorted({*range(256)} - {*_PRINTING}))
}
_PAD_NAMES = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>")


def train_bpe(texts: Iterable[str], vocab_size: int) -> bytes:
    """The bytes of a `tokenizer.json` whose ids are EOS, PAD, the 256 bytes, then what was learned.

    Raises `InputError` for a vocabulary below 258, or text too short to fill it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubwordTokenizer:
    """A library's tokenizer with PAD and EOS. Where its vocabulary lacks one, the id after the last is added.

    normalize: accept that the tokenizer changes text (case, spaces, unknown characters) instead of refusing
    what does not come back exactly.
    """

    model: Any  # tokenizers.Tokenizer, or sentencepiece.SentencePieceProcessor
    model_size: int  # ids that the model itself knows
    vocab_size: int
    pad_id: int
    eos_id: int
    unk_id: int = -1  # of what the model does not know; -1: it has none
    normalize: bool = False

    @property
    def rewrites(self) -> bool:
        return self.normalize

    def encode(self, text: str) -> Int[np.ndarray, "n"]:
        """int32 ids without PAD or EOS. Raises `InputError` for text that does not come back exactly."""
        refuse_surrogates(text)
        ids = np.asarray(self._model_ids(text), np.int32).reshape(-1)
        if self.normalize:
            return ids[(ids != self.pad_id) & (ids != self.eos_id)]
        special = (ids == self.pad_id) | (ids == self.eos_id)
        if special.any() or (back := self.decode(ids)) != text:
            at = 0 if special.any() else _first_difference(text, back)
            shown = "a control token spelled out" if special.any() else _describe(text, at)
            raise InputError(
                f"this tokenizer cannot represent {shown}: it would change the text; use a byte-level one "
                "(for instance bytes), or normalize=True (--normalize) to accept its own spelling"
            )
        return ids

    def _model_ids(self, text: str) -> list[int]:
        if hasattr(self.model, "encode_special_tokens"):
            return self.model.encode(text, add_special_tokens=False).ids
        return self.model.encode(text)

    def decode(self, ids: Int[np.ndarray, "n"]) -> str:
        known = [int(i) for i in ids if i < self.model_size]  # the others are PAD and EOS that were added
        if hasattr(self.model, "encode_special_tokens"):
            return self.model.decode(known, skip_special_tokens=False)
        return self.model.decode(known)

    def count_characters(self, ids: Int[np.ndarray, "n"]) -> int:
        known = ids[ids < self.model_size]
        begun = self._characters_begun[known]
        return int(begun[begun >= 0].sum()) + len(self.decode(known[begun < 0]))

    @functools.cached_property
    def _characters_begun(self) -> Int[np.ndarray, "model_size"]:
        """How many characters begin in a piece that is a string of bytes; -1 for a piece of whole characters."""
        if hasattr(self.model, "encode_special_tokens"):
            pieces = [self.model.id_to_token(i) or "" for i in range(self.model_size)]
            by_byte = "'ByteLevel'" in str(json.loads(self.model.to_str())["decoder"])
        else:
            pieces, by_byte = [self.model.id_to_piece(i) for i in range(self.model_size)], False
        begun = np.full(self.model_size, -1)
        for number, piece in enumerate(pieces):
            if match := _ONE_BYTE.fullmatch(piece):
                begun[number] = begins_character(np.array(int(match[1], 16)))
            elif by_byte and all(c in _BYTE_OF for c in piece):
                begun[number] = begins_character(np.array([_BYTE_OF[c] for c in piece], int)).sum()
        return begun

    def lost(self, characters: Counter[str], ids: Int[np.ndarray, "n"]) -> Counter[str]:
        return characters - characters_of(self.decode(ids[ids != self.unk_id]))


def hugging_face_tokenizer(data: bytes, name: str, normalize: bool) -> SubwordTokenizer:
    """From the bytes of a `tokenizer.json`. Special tokens that are spelled out in a text are plain text."""
    import tokenizers

    too_old = (
        f"the file is whole, so the library, tokenizers {tokenizers.__version__}, may be too old for it: "
        "pip install --upgrade tokenizers"
    )
    model = _guarded(
        lambda: tokenizers.Tokenizer.from_str(data.decode("utf-8")),
        name,
        "a tokenizer.json of the tokenizers library",
        too_old if _is_whole(data) else _DAMAGED,
    )
    return _with_specials(model, name, normalize)


def _is_whole(tokenizer_json: bytes) -> bool:
    try:
        values = json.loads(tokenizer_json)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and isinstance(values.get("model"), dict)


def gpt2_tokenizer(vocab: bytes, merges: bytes, name: str, normalize: bool) -> SubwordTokenizer:
    """Byte-level BPE from the bytes of GPT-2's `vocab.json` and `merges.txt`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    def build() -> Tokenizer:
        lines = merges.decode("utf-8").split("\n")
        split = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        pairs = [(left, right) for left, right in split]
        model = Tokenizer(models.BPE(vocab=json.loads(vocab), merges=pairs))
        model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = decoders.ByteLevel()
        return model

    return _with_specials(_guarded(build, name, "a vocab.json with its merges.txt"), name, normalize)


def sentencepiece_tokenizer(data: bytes, name: str, normalize: bool) -> SubwordTokenizer:
    """From the bytes of a SentencePiece `.model`."""
    from sentencepiece import SentencePieceProcessor

    what = "a SentencePiece model"
    if not data:
        raise InputError(f"{name} is empty: it should be {what}")
    model = _guarded(lambda: SentencePieceProcessor(model_proto=data), name, what)
    size = model.get_piece_size()
    if not size:
        raise InputError(f"{name} has no pieces: it should be {what}")
    return _add_specials(model, size, model.pad_id(), model.eos_id(), model.unk_id(), name, normalize)


def _with_specials(model: Any, name: str, normalize: bool) -> SubwordTokenizer:
    model.encode_special_tokens = True
    model.no_padding()
    model.no_truncation()
    vocabulary = model.get_vocab()
    if not vocabulary:
        raise InputError(f"{name} has an empty vocabulary: train or export it again")
    declared = {t.content: i for i, t in model.get_added_tokens_decoder().items() if t.special}
    pad, eos = (
        next((known[n] for known in (declared, vocabulary) for n in names if n in known), -1)
        for names in (_PAD_NAMES, _EOS_NAMES)
    )
    return _add_specials(model, max(vocabulary.values()) + 1, pad, eos, _unknown(model), name, normalize)


def _unknown(model: Any) -> int:
    """The id of what the vocabulary does not know, -1 where there is none."""
    if hasattr(model.model, "unk_token"):
        unknown = model.token_to_id(model.model.unk_token) if model.model.unk_token else None
    else:  # Unigram does not say
        unknown = json.loads(model.to_str())["model"].get("unk_id")
    return -1 if unknown is None else unknown


def _add_specials(
    model: Any, size: int, pad: int, eos: int, unknown: int, name: str, normalize: bool
) -> SubwordTokenizer:
    if size > MAX_VOCABULARY:
        raise InputError(f"{name} has ids up to {size - 1:,}: a vocabulary may have {MAX_VOCABULARY:,} at most")
    vocab_size = size
    if pad < 0:
        pad, vocab_size = vocab_size, vocab_size + 1
    if eos < 0 or eos == pad:
        eos, vocab_size = vocab_size, vocab_size + 1
    return SubwordTokenizer(
        model=model,
        model_size=size,
        vocab_size=vocab_size,
        pad_id=pad,
        eos_id=eos,
        unk_id=unknown,
        normalize=normalize,
    )


def _guarded(build: Any, name: str, what: str, remedy: str = _DAMAGED) -> Any:
    """Runs a library's parser on a file that may be anything; what it raises becomes one sentence."""
    try:
        return build()
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the Rust library is no Exception
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{name} cannot be read as {what} ({reason}): {remedy}") from None


def _first_difference(text: str, back: str) -> int:
    same = min(len(text), len(back))
    return next((i for i in range(same) if text[i] != back[i]), min(same, len(text) - 1))


def _describe(text: str, position: int) -> str:
    character = text[position]
    return f"{character!r} (U+{ord(character):04X}, at character {position})"

"""Text to ids and back: the interface of a tokenizer, and the two that need no file."""

import dataclasses
import re
import string
import unicodedata
from collections import Counter
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Integer

from pixjax.errors import InputError

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_SPELLED = frozenset(string.ascii_lowercase + string.digits)


def to_27_letters(text: str) -> str:
    """Lower case, accents stripped, digits spelled, everything else a single space. Idempotent."""
    plain = unicodedata.normalize("NFKD", text).lower()
    if not plain.isascii():  # no letter of ASCII is an accent, and to ask each one takes most of the time
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    spelled = re.sub(r"[0-9]", lambda match: f" {_NAMES[int(match[0])]} ", plain)
    return re.sub(r"[^a-z]+", " ", spelled).strip(" ")


@runtime_checkable
class Tokenizer(Protocol):
    """What the canvas asks of a tokenizer. Ids lie in [0, vocab_size); PAD and EOS are always among them."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def pad_id(self) -> int: ...

    @property
    def eos_id(self) -> int: ...

    def encode(self, text: str) -> Int[np.ndarray, "n"]:
        """int32 ids without PAD or EOS. Raises `InputError` for text that it cannot represent."""
        ...

    def decode(self, ids: Integer[np.ndarray, "n"]) -> str:
        """The text of ids among which there is neither PAD nor EOS. Never fails."""
        ...

    def count_characters(self, ids: Integer[np.ndarray, "n"]) -> int:
        """How many characters begin in ids that may be cut anywhere: one of several bytes counts where its first is."""
        ...

    @property
    def rewrites(self) -> bool:
        """Whether `encode` changes a text that it cannot represent, instead of refusing it."""
        ...

    def lost(self, characters: Counter[str], ids: Integer[np.ndarray, "n"]) -> Counter[str]:
        """Which of the characters of a text, as `characters_of` counts them, are not in its ids."""
        ...


def refuse_surrogates(text: str) -> None:
    """Raises `InputError` for a lone surrogate: half a character, which UTF-8 cannot hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text has a lone surrogate, U+{ord(text[error.start]):04X}, at character {error.start}, "
            "which no UTF-8 file can hold: remove it"
        ) from None


def begins_character(byte: Integer[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Which bytes of UTF-8 are the first of a character: all but those of the form 10xxxxxx."""
    return np.asarray(byte) & 0xC0 != 0x80


@dataclasses.dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8: ids 0 to 255 are bytes, then PAD and EOS. Bytes that are no UTF-8 are read as U+FFFD."""

    vocab_size = 258
    pad_id = 256
    eos_id = 257
    rewrites = False

    def encode(self, text: str) -> Int[np.ndarray, "n"]:
        refuse_surrogates(text)
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def decode(self, ids: Integer[np.ndarray, "n"]) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def count_characters(self, ids: Integer[np.ndarray, "n"]) -> int:
        return int(np.count_nonzero(begins_character(ids)))

    def lost(self, characters: Counter[str], ids: Integer[np.ndarray, "n"]) -> Counter[str]:
        return Counter()


@dataclasses.dataclass(frozen=True)
class LetterTokenizer:
    """The 27 symbols of text8: 0 is the space, 1 to 26 are a to z.

    PAD and EOS are drawn as the space, so that one pixel of three levels holds every symbol and nothing else,
    and bits per character compare with published figures. Hence the spaces at the very end of a text are not
    kept, and documents are separated by a space.

    normalize: rewrite text by the rules of text8 instead of refusing what is not among the 27.
    """

    normalize: bool = False
    vocab_size = 27
    pad_id = 0
    eos_id = 0

    @property
    def rewrites(self) -> bool:
        return self.normalize

    def encode(self, text: str) -> Int[np.ndarray, "n"]:
        text = to_27_letters(text) if self.normalize else text
        codes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), np.uint32).astype(np.int64)
        ids = np.where(codes == ord(" "), 0, codes - (ord("a") - 1))
        strange = (ids < 0) | (ids > 26) | (codes == ord("a") - 1)
        if strange.any():
            position = int(strange.argmax())
            character = text[position]
            raise InputError(
                f"chars27 cannot represent {character!r} (U+{ord(character):04X}, at character {position}): "
                "it allows only a to z and the space; normalize=True (--normalize) spells digits, strips "
                "accents and blanks the rest"
            )
        return ids.astype(np.int32)

    def decode(self, ids: Integer[np.ndarray, "n"]) -> str:
        return np.frombuffer(b" abcdefghijklmnopqrstuvwxyz", np.uint8)[ids].tobytes().decode("ascii")

    def count_characters(self, ids: Integer[np.ndarray, "n"]) -> int:
        return len(ids)

    def lost(self, characters: Counter[str], ids: Integer[np.ndarray, "n"]) -> Counter[str]:
        return Counter({c: count for c, count in characters.items() if c not in _SPELLED})

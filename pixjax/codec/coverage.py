"""The share of a text that a tokenizer which rewrites it (`normalize`) keeps: characters, not their case or accents."""

import dataclasses
import functools
import logging
import unicodedata
from collections import Counter

import numpy as np
from jaxtyping import Integer

from pixjax.codec.tokenizer import Tokenizer
from pixjax.errors import InputError

_log = logging.getLogger("pixjax.codec")

TRAIN_ON_BYTES = "a model reads every language that was trained with codec.tokenizer=bytes"  # for one that does not

_MOST_LOST = 0.5  # share of the characters
_TOGETHER = 2**20  # characters that are counted at once
_EXAMPLES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was counted of a text.

    characters: without white space, accents and what is not printed; 0 where the tokenizer never rewrites. lost: those
    that are dropped, blanked or unknown to the tokenizer. examples: the most frequent of them. blank: there was nothing
    but white space.
    """

    characters: int = 0
    lost: int = 0
    examples: str = ""
    blank: bool = False

    @property
    def share(self) -> float:
        """The share of the characters that is lost."""
        return self.lost / self.characters if self.characters else 0.0

    def __str__(self) -> str:
        examples = f" ({self.examples})" if self.examples else ""
        return f"{_percent(self.share)} of {self.characters:,} characters are lost to the tokenizer{examples}"

    def require(self, where: str, remedy: str) -> None:
        """Raises `InputError` for a text of which more than half is lost, or that is blank."""
        if self.blank:
            raise InputError(f"{where} is blank, it holds nothing but white space: give a text with letters")
        if self.share > _MOST_LOST:
            raise InputError(f"{where}: {self}, more than half: {remedy}")


def bytes_instead(code: str, prefix: str = "--config.codec.") -> str:
    """What to set for a tokenizer that loses nothing, beside a color code; `prefix` is that of the flags."""
    fits = code == "base256" or code.startswith("radix:auto")
    more = "" if fits else f" {prefix}code=radix:auto:2"
    return f"{prefix}tokenizer=bytes{more} reads every language"


def _percent(share: float) -> str:
    return (
        "none" if not share else "all" if share == 1 else "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
    )


class CoverageCounter:
    """Counts documents as they are tokenized: all of them, and many characters at once, so that it costs little."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._rewrites = tokenizer.rewrites
        self._texts: list[str] = []
        self._ids: list[np.ndarray] = []
        self._waiting = self._characters = 0
        self._lost: Counter[str] = Counter()
        self._added, self._blank = False, True

    def add(self, text: str, ids: Integer[np.ndarray, "_"]) -> None:
        """A document, or a part of one, and its ids."""
        self._added = True
        if not self._rewrites:
            self._blank = self._blank and not text.strip()
            return
        self._texts.append(text)
        self._ids.append(ids)
        self._waiting += len(text)
        if self._waiting >= _TOGETHER:
            self._count()

    def _count(self) -> None:
        if not self._texts:
            return
        there = characters_of("".join(self._texts))
        self._characters += there.total()
        self._lost += self._tokenizer.lost(there, np.concatenate(self._ids))
        self._texts, self._ids, self._waiting = [], [], 0

    @property
    def coverage(self) -> Coverage:
        """The coverage of all that was added."""
        self._count()
        return Coverage(
            characters=self._characters,
            lost=self._lost.total(),
            examples=" ".join(character for character, _ in self._lost.most_common(_EXAMPLES)),
            blank=self._added and (not self._characters if self._rewrites else self._blank),
        )


def warn_lost(tokenizer: Tokenizer, text: str, where: str, remedy: str) -> None:
    """Logs how much of a text the tokenizer loses.

    Raises `InputError` where that is more than half, or where nothing but white space is left to rewrite.
    """
    if not tokenizer.rewrites:
        return
    counter = CoverageCounter(tokenizer)
    counter.add(text, tokenizer.encode(text))
    counter.coverage.require(where, remedy)
    if counter.coverage.lost:
        _log.warning("%s: %s", where, counter.coverage)


def characters_of(text: str) -> Counter[str]:
    """How often a text has each character, in lower case, in compatibility decomposition, without accents, white space
    and what is not printed.
    """
    counts: Counter[str] = Counter()
    for start in range(0, len(text), _TOGETHER):
        codes = np.frombuffer(text[start : start + _TOGETHER].encode("utf-32-le", "surrogatepass"), np.uint32)
        of_code = np.bincount(codes)
        for code in np.flatnonzero(of_code).tolist():
            for character in _plain(chr(code)):
                counts[character] += int(of_code[code])
    return counts


@functools.cache
def _plain(character: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).lower())
    return "".join(c for c in plain if unicodedata.category(c)[0] not in "MZC")

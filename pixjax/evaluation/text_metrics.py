"""Metrics of generated text, from strings alone: likeness to real text, and the share that is training text.

Most figures depend on how much text they are taken from. So each is also taken from held-out text cut into pieces as
long as the samples: what a perfect model would score, under `held_out/` (for the divergence, `js_floor`).
"""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt64

from pixjax.errors import InputError

LONGEST_CHARACTER_GRAM = 4
LONGEST_DISTINCT_GRAM = 3
WINDOW = 50  # characters: longer than phrases that many texts share
_LONGEST_WORD = 20  # characters from space to space, on average; scripts written without spaces have far more

_CHUNK = 1 << 22  # characters of training text hashed at a time
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_TABLE_BITS = 24
_LIKELY_SHARED = 8  # characters: where the search for the longest run begins
_BREAK = -1  # between two texts, below every symbol

Symbols = Int[np.ndarray, " _length"]


def text_metrics(
    samples: Sequence[str],
    training_text: str,
    held_out: tuple[str, str],
    *,
    margin: Float[np.ndarray, "..."] | None = None,
    tag_correct: Bool[np.ndarray, " canvases"] | None = None,
) -> dict[str, float]:
    """Quality, diversity and memorisation of generated texts.

    Args:
      samples: one text a canvas.
      training_text: what the vocabulary is taken from, and what may have been copied.
      held_out: two halves of text that training has not seen. The first is what is compared with; the second, cut to
        the lengths of the samples, is compared with it as they are. Samples beyond its length are left out of what
        depends on the amount of text: divergence, distinct n-grams and entropy.
      margin: of decoding, for each token, 1 is perfect; adds `mean_margin`.
      tag_correct: whether each canvas has the tag that it was asked for; adds `tag_accuracy`.

    Returns:
      `valid_words`: share of the words that the training text has too, case aside. Not for scripts without spaces.
      `js_divergence/N`, `js_floor/N`: Jensen-Shannon divergence of character N-grams, N = 1 to 4, in bits: 0 to 1.
      `distinct/N`: distinct N-grams over all N-grams, N = 1 to 3 (arXiv 1510.03055), of words, or of characters for
      scripts without spaces.
      `unigram_entropy`: of the characters, in bits per character.
      `longest_copied_run`: in characters, of a run that is in the training text.
      `copied_windows`: share of all runs of 50 characters that are in the training text.
      `held_out/…`: the same of the second half. A metric is left out where there is too little text for it.

    Raises:
      InputError: one of the texts is empty.
    """
    samples = [text for text in samples if text]
    for name, text in (
        ("samples", samples),
        ("training text", training_text),
        *(("held-out half", h) for h in held_out),
    ):
        if not text:
            raise InputError(f"there is nothing to measure, the {name} holds no text: give at least a character")
    reference, second = held_out
    kept, pieces = cut_alike(samples, second)
    has_words = len(training_text) < _LONGEST_WORD * max(1, len(training_text.split()))
    copied, copied_pieces = copied_text(samples, training_text), copied_text(pieces, training_text)

    metrics = _divergences(kept, pieces, reference)
    rows = [_distinct(kept, pieces, has_words), _valid_words((samples, pieces), training_text) if has_words else {}]
    for name, (ours, real) in ((name, pair) for row in rows for name, pair in row.items()):
        metrics |= {name: ours, f"held_out/{name}": real}
    metrics |= copied | {f"held_out/{name}": value for name, value in copied_pieces.items()}
    if margin is not None and np.size(margin):
        metrics["mean_margin"] = float(np.mean(margin))
    if tag_correct is not None and np.size(tag_correct):
        metrics["tag_accuracy"] = float(np.mean(tag_correct))
    return metrics


def js_divergence(p: Real[np.ndarray, " events"], q: Real[np.ndarray, " events"]) -> float:
    """Jensen-Shannon divergence in bits of two histograms, counts or probabilities: 0 for equal, 1 for disjoint."""
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2)


def entropy(p: Real[np.ndarray, " events"]) -> float:
    """Entropy in bits of a histogram of counts or probabilities."""
    p = p[p > 0] / p.sum()
    return float(-np.sum(p * np.log2(p)))


def copied_text(samples: Sequence[str], training_text: str) -> dict[str, float]:
    """`longest_copied_run` and `copied_windows`, by 64-bit hashes of the runs: seconds for tens of megabytes.

    That any two different runs among so many have equal hashes has a probability of about 1e-5.
    """
    texts = [characters(text) for text in samples]
    ours = _RunHashes(np.concatenate(texts))
    room = np.concatenate([np.arange(len(text), 0, -1) for text in texts])  # characters to the end of its text
    overlap = int(room.max()) - 1
    windows, counts = np.unique(ours.of(np.flatnonzero(room >= WINDOW), WINDOW), return_counts=True)
    found = np.zeros(len(windows), bool)
    longest = 0
    for start in range(0, len(training_text), _CHUNK):
        theirs = _RunHashes(characters(training_text[start : start + _CHUNK + overlap]))
        found |= _shared(windows, theirs.of(np.arange(len(theirs) - WINDOW + 1), WINDOW))[0]
        longest = _longest_shared_run(ours, room, theirs, longest)
    copied = {"longest_copied_run": float(longest)}
    if len(windows):
        copied["copied_windows"] = float(np.average(found, weights=counts))
    return copied


class _RunHashes:
    """Σ v(c_j)·B^j modulo 2^64 over any run of characters, from sums over all prefixes (Karp and Rabin 1987)."""

    def __init__(self, symbols: Symbols):
        mixed = symbols.astype(np.uint64) + np.uint64(_BASE)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        self._sums = np.zeros(len(symbols) + 1, np.uint64)
        np.cumsum(mixed * _powers(_BASE, len(symbols)), out=self._sums[1:])
        self._to_origin = _powers(pow(_BASE, -1, 1 << 64), len(symbols))

    def __len__(self) -> int:
        return len(self._to_origin)

    def of(self, starts: Symbols, length: int) -> UInt64[np.ndarray, " starts"]:
        return (self._sums[starts + length] - self._sums[starts]) * self._to_origin[starts]


def _powers(base: int, count: int) -> UInt64[np.ndarray, " count"]:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)


def _longest_shared_run(ours: _RunHashes, room: Symbols, theirs: _RunHashes, longest: int) -> int:
    """The length of the longest run in both, or `longest` when none is longer.

    A run can only be shared if its beginning is: the starts that are left shrink with every length that is found.
    """
    starts, their_starts = np.arange(len(room)), np.arange(len(theirs))
    step, growing = 1 if longest else _LIKELY_SHARED, True
    while step:
        length = longest + step
        fitting, their_fitting = starts[room[starts] >= length], their_starts[their_starts + length <= len(theirs)]
        hashes, their_hashes = ours.of(fitting, length), theirs.of(their_fitting, length)
        shared, their_shared = _shared(hashes, their_hashes)
        if shared.any():
            longest, starts, their_starts = length, fitting[shared], their_fitting[their_shared]
        else:
            growing = False
        step = step * 2 if growing else step // 2
    return longest


def _shared(
    ours: UInt64[np.ndarray, " ours"], theirs: UInt64[np.ndarray, " theirs"]
) -> tuple[Bool[np.ndarray, " ours"], Bool[np.ndarray, " theirs"]]:
    """Which of ours are among theirs, and which of theirs among ours."""
    table = np.zeros(1 << _TABLE_BITS, bool)  # most of theirs are told apart without a sort
    slot = np.uint64(64 - _TABLE_BITS)
    table[ours >> slot] = True
    candidates = np.flatnonzero(table[theirs >> slot])
    distinct, place = np.unique(ours, return_inverse=True)
    nearest = np.searchsorted(distinct, theirs[candidates]).clip(max=len(distinct) - 1)
    equal = distinct[nearest] == theirs[candidates] if len(distinct) else np.zeros(0, bool)
    found = np.zeros(len(distinct), bool)
    found[nearest[equal]] = True
    their_shared = np.zeros(len(theirs), bool)
    their_shared[candidates[equal]] = True
    return found[place], their_shared


def cut_alike(samples: Sequence[str], text: str) -> tuple[list[str], list[str]]:
    """The samples, as far as the text reaches, and pieces of it of the same lengths, spread evenly over it."""
    kept, room = [], len(text)
    for sample in samples:
        kept.append(sample[:room])
        room -= len(kept[-1])
    kept = [sample for sample in kept if sample]
    pieces, start = [], 0
    for sample in kept:
        pieces.append(text[start : start + len(sample)])
        start += len(sample) + room // len(kept)
    return kept, pieces


def _divergences(samples: Sequence[str], pieces: Sequence[str], reference: str) -> dict[str, float]:
    streams = [[characters(text) for text in texts] for texts in (samples, pieces, [reference])]
    metrics: dict[str, float] = {}
    for n, (ours, real, compared) in enumerate(_gram_counts(streams, LONGEST_CHARACTER_GRAM), start=1):
        if n == 1:
            metrics |= {"unigram_entropy": entropy(ours), "held_out/unigram_entropy": entropy(real)}
        if ours.any() and compared.any():
            metrics[f"js_divergence/{n}"] = js_divergence(ours, compared)
            metrics[f"js_floor/{n}"] = js_divergence(real, compared)
    return metrics


def _distinct(samples: Sequence[str], pieces: Sequence[str], has_words: bool) -> dict[str, tuple[float, float]]:
    number: dict[str, int] = {}

    def symbols(text: str) -> Symbols:
        if not has_words:
            return characters(text)
        return np.array([number.setdefault(word, len(number)) for word in _words(text)], np.int64)

    streams = [[symbols(text) for text in texts] for texts in (samples, pieces)]
    metrics = {}
    for n, counts in enumerate(_gram_counts(streams, LONGEST_DISTINCT_GRAM), start=1):
        if counts.any(axis=1).all():
            ours, real = np.count_nonzero(counts, axis=1) / counts.sum(axis=1)
            metrics[f"distinct/{n}"] = (float(ours), float(real))
    return metrics


def _valid_words(streams: Sequence[Sequence[str]], training_text: str) -> dict[str, tuple[float, float]]:
    vocabulary = set(_words(training_text))
    words = [[word for text in texts for word in _words(text)] for texts in streams]
    if not all(words):
        return {}
    ours, real = (sum(word in vocabulary for word in found) / len(found) for found in words)
    return {"valid_words": (ours, real)}


def _gram_counts(streams: Sequence[Sequence[Symbols]], longest: int) -> Iterator[Int[np.ndarray, "streams grams"]]:
    """For n = 1 to `longest`, how often each n-gram is in each stream; none reaches from one text into the next."""
    texts = [(owner, text) for owner, stream in enumerate(streams) for text in stream]
    joined = np.concatenate([part for _, text in texts for part in (text, np.array([_BREAK]))])
    owner = np.repeat([owner for owner, _ in texts], [len(text) + 1 for _, text in texts])
    alphabet, symbols = np.unique(joined, return_inverse=True)  # in order: the break becomes 0
    inside = symbols > 0
    grams, whole = symbols, inside
    for n in range(1, longest + 1):
        if n > 1:  # numbered anew each time: the product stays far below 2^63
            grams = grams[:-1] * len(alphabet) + symbols[n - 1 :]
            whole = whole[:-1] & inside[n - 1 :]
        distinct, grams = np.unique(grams, return_inverse=True)
        mine = [grams[whole & (owner[: len(grams)] == index)] for index in range(len(streams))]
        yield np.stack([np.bincount(ids, minlength=len(distinct)) for ids in mine])


def characters(text: str) -> Symbols:
    """Code points; lone surrogates, which a byte decoder may leave, are symbols like any other."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)


def _words(text: str) -> list[str]:
    """Runs of letters and their combining marks, case aside."""
    text = text.casefold()
    between = {ord(c): " " for c in set(text) if unicodedata.category(c)[0] not in "LM"}
    return text.translate(between).split()

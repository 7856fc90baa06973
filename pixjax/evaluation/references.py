"""Figures to compare with: n-grams of the same text, baselines that were trained on it, and published results."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pixjax.config import Config
from pixjax.errors import InputError
from pixjax.evaluation.text_metrics import characters
from pixjax.paths import reachable_path


@dataclasses.dataclass(frozen=True)
class Reference:
    """A figure of something else, and how far it can be compared."""

    name: str
    value: float
    note: str


_TEXT8 = "text8, another text over the same letters"
_PUBLISHED_LETTERS = (
    Reference("autoregressive transformer", 1.23, f"{_TEXT8} (arXiv 2107.03006)"),
    Reference("masked diffusion, MD4", 1.37, f"{_TEXT8}, upper bound (arXiv 2406.04329)"),
    Reference("Bayesian flow network", 1.41, f"{_TEXT8}, upper bound (arXiv 2308.07037)"),
)
_PUBLISHED_IMAGES = (
    Reference("VDM, CIFAR-10", 2.65, "other images, 32 pixels, upper bound (arXiv 2107.00630)"),
    Reference("VDM, ImageNet", 3.40, "other images, 64 pixels, upper bound (arXiv 2107.00630)"),
)


def text_references(config: Config, ngrams: dict[str, float], baselines: Sequence[Reference]) -> list[Reference]:
    """Bits per character: first of the same text, then published ones where they are over the same alphabet."""
    same = [
        Reference(f"{n}-gram", bits, "counted on the training text, same test canvases") for n, bits in ngrams.items()
    ]
    return [*same, *baselines, *(_PUBLISHED_LETTERS if config.codec.tokenizer == "chars27" else ())]


def image_references() -> list[Reference]:
    """Published bits per dimension."""
    return [Reference("independent levels, all equally likely", 8.0, "knowing nothing"), *_PUBLISHED_IMAGES]


def ngram_standing(bits: float, ngrams: dict[str, float]) -> str:
    """Where a figure stands on the scale of n-grams, in words: between the nearest two by value."""
    better = [(value, n) for n, value in ngrams.items() if value <= bits]
    worse = [(value, n) for n, value in ngrams.items() if value > bits]
    if not better:
        return f"below the {min(worse)[1]}-gram" if worse else ""
    if not worse:
        return f"above the {max(better)[1]}-gram"
    return f"between the {min(worse)[1]}-gram and the {max(better)[1]}-gram"


def read_baselines(paths: Sequence[str | os.PathLike]) -> list[Reference]:
    """Results that the programs in `benchmarks/baselines` wrote. Raises `InputError` for any other file."""
    found = []
    for name in paths:
        path = reachable_path(name, "--baselines")
        try:
            result: dict[str, Any] = json.loads(path.read_text())
            note = (
                f"{result['parameters']:,} parameters, {result['training_characters']:,} characters seen, "
                f"{result['length']} at once"
            )
            found.append(Reference(str(result["name"]), float(result["bits_per_char"]), note))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"--baselines={name} is not a result of benchmarks/baselines ({type(error).__name__}: {error}): "
                "give the JSON file that its --out wrote"
            ) from None
    return found


LONGEST = 7
_LARGEST_KEY = 2**62

Symbols = Int[np.ndarray, " _length"]


def ngram_scale(training_text: str, test_texts: Sequence[str], longest: int = LONGEST) -> dict[int, float]:
    """Bits per character of interpolated n-gram models with Witten-Bell smoothing, for n = 1 to `longest`.

    p(c|h) = (count(hc) + T(h)·p(c|h')) / (count(h) + T(h)), where T(h) is the number of different characters after h
    and h' is h without its first character (Witten and Bell 1991; Chen and Goodman 1998, section 2.6); below n = 1
    stands the uniform law over the characters of the training text and one for all others.

    Args:
      training_text: what is counted.
      test_texts: what is predicted, each by itself, as a model reads a canvas: the first characters of each have
        shorter histories.

    Returns:
      Bits per character by n; fewer than `longest` where the n-grams of a large alphabet do not fit into 62 bits.

    Raises:
      InputError: one of the texts is empty.
    """
    test_text = "".join(test_texts)
    if not training_text or not test_text:
        raise InputError("an n-gram scale needs text to count and text to predict: give at least a character of each")
    alphabet, training = np.unique(characters(training_text), return_inverse=True)
    test_codes = characters(test_text)
    history = np.concatenate([np.arange(len(characters(text))) for text in test_texts])
    place = np.searchsorted(alphabet, test_codes).clip(max=len(alphabet) - 1)
    test = np.where(alphabet[place] == test_codes, place, len(alphabet))
    size = len(alphabet) + 1
    probability = np.full(len(test), 1 / size)
    training_keys, test_keys = training, test
    scale = {}
    for n in range(1, longest + 1):
        if size**n > _LARGEST_KEY:
            break
        if n > 1:  # the key of an n-gram is that of its beginning, and one more digit
            training_keys = training_keys[:-1] * size + training[n - 1 :]
            test_keys = test_keys[:-1] * size + test[n - 1 :]
        known = history[n - 1 :] >= n - 1  # the others keep what a shorter history says
        ends = np.flatnonzero(known) + n - 1
        probability[ends] = _interpolated(training_keys, test_keys[known], size, probability[ends])
        scale[n] = float(-np.mean(np.log2(probability)))
    return scale


def _interpolated(
    training: Symbols, test: Int[np.ndarray, " test"], size: int, shorter: Float[np.ndarray, " test"]
) -> Float[np.ndarray, " test"]:
    grams, counts = np.unique(training, return_counts=True)
    histories, first = np.unique(grams // size, return_index=True)
    totals, kinds = np.add.reduceat(counts, first), np.diff(np.append(first, len(grams)))
    count = _looked_up(grams, counts, test)
    total, kind = (_looked_up(histories, values, test // size) for values in (totals, kinds))
    return np.where(total > 0, (count + kind * shorter) / np.maximum(total + kind, 1), shorter)


def _looked_up(
    keys: Int[np.ndarray, " keys"], values: Int[np.ndarray, " keys"], wanted: Int[np.ndarray, " wanted"]
) -> Int[np.ndarray, " wanted"]:
    """The value of each wanted key, 0 for one that is not there."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)

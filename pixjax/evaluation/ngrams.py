"""A scale to read bits per character by: what n-gram models that saw the same training text need for the same test."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from pixjax.errors import InputError
from pixjax.evaluation.text_metrics import characters

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

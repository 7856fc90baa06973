"""The scale that bits per character are read by."""

import gzip
from collections import Counter

import numpy as np
import pytest

from pixjax.errors import InputError
from pixjax.evaluation.references import ngram_scale, ngram_standing


def letters(num: int, seed: int) -> str:
    """A second-order chain over five letters."""
    random = np.random.default_rng(seed)
    table = np.random.default_rng(7).dirichlet(np.full(5, 0.3), (5, 5))
    text = [0, 1]
    for _ in range(num):
        text.append(random.choice(5, p=table[text[-2], text[-1]]))
    return "".join("abcde"[i] for i in text)


def witten_bell(training: str, test: str, longest: int) -> float:
    """The same model written as its recursion, with dictionaries."""
    grams = [Counter(training[i : i + n] for i in range(len(training) - n + 1)) for n in range(1, longest + 1)]
    alphabet = set(training)

    def probability(history: str, letter: str) -> float:
        lower = 1 / (len(alphabet) + 1) if not history else probability(history[1:], letter)
        following = [
            grams[len(history)][history + other] for other in alphabet if history + other in grams[len(history)]
        ]
        total = sum(following) + len(following)
        return (grams[len(history)][history + letter] + len(following) * lower) / total if total else lower

    if longest == 1:
        bits = [-np.log2(probability("", letter)) for letter in test]
    else:
        bits = [-np.log2(probability(test[max(0, i - longest + 1) : i], letter)) for i, letter in enumerate(test)]
    return float(np.mean(bits))


@pytest.mark.parametrize("longest", [1, 2, 3, 4])
def test_it_is_what_the_recursion_says(longest):
    training, test = letters(400, 0), letters(60, 1) + "z"  # which training never saw
    assert ngram_scale(training, [test], longest)[longest] == pytest.approx(
        witten_bell(training, test, longest), rel=1e-9
    )


def test_history_that_tells_something_lowers_the_bits_and_no_more_is_gained_beyond_it():
    scale = ngram_scale(letters(30_000, 0), [letters(5_000, 1)], 5)
    assert scale[1] > scale[2] > scale[3] + 0.05
    assert scale[5] == pytest.approx(scale[3], abs=0.05)


def test_large_alphabets_end_where_keys_do_not_fit():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 6000)))
    assert list(ngram_scale(text, [text])) == [1, 2, 3, 4]


def test_empty_text_is_refused():
    with pytest.raises(InputError, match="at least a character"):
        ngram_scale("", "a")


@pytest.mark.parametrize(
    ("bits", "words"),
    [(4.5, "above the 1-gram"), (3.0, "between the 2-gram and the 3-gram"), (1.0, "below the 3-gram")],
)
def test_a_figure_stands_between_two_n_grams(bits, words):
    assert ngram_standing(bits, {"1": 4.08, "2": 3.32, "3": 2.72}) == words


def test_the_nearest_two_are_named_where_long_n_grams_are_worse_again():
    scale = {"1": 4.08, "5": 2.06, "6": 2.00, "7": 2.04}
    assert ngram_standing(1.9, scale) == "below the 6-gram"
    assert ngram_standing(2.05, scale) == "between the 5-gram and the 7-gram"


def test_the_published_figures_of_real_letters_are_met(shared_data):
    """Unigrams and bigrams settle early: a tenth of the training text tells them to a hundredth."""
    folder = shared_data / "text" / "letters27"
    with gzip.open(folder / "train.txt.gz", "rt") as file:
        training = file.read(2_700_000)
    with gzip.open(folder / "test.txt.gz", "rt") as file:
        test = file.read()
    scale = ngram_scale(training, [test], 2)
    assert scale[1] == pytest.approx(4.078, abs=0.01)
    assert scale[2] == pytest.approx(3.322, abs=0.01)


def test_each_text_is_predicted_by_itself_and_all_of_them_are():
    """As a model reads canvases: nothing is known at the start of one, and the last counts as much as the first."""
    training, texts = letters(400, 0), [letters(20, seed) for seed in (1, 2, 3)]
    expected = np.average([witten_bell(training, text, 3) for text in texts], weights=[len(text) for text in texts])
    assert ngram_scale(training, texts, 3)[3] == pytest.approx(expected, rel=1e-9)
    assert ngram_scale("ab" * 5, ["ab" * 150_000, "z" * 300_000], 1)[1] > 2  # what comes late is read as well

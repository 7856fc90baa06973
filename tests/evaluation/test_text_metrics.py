"""Text figures against counts by hand, brute force and their own floor."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.errors import InputError
from pixjax.evaluation.text_metrics import WINDOW, copied_text, entropy, js_divergence, text_metrics

HISTOGRAMS = st.lists(st.integers(0, 50), min_size=2, max_size=8).filter(any)


def zipf_text(seed: int, words: int = 4000) -> str:
    """Words of one vocabulary of 400, in Zipf's proportions."""
    vocabulary = random.Random(0)
    known = ["".join(vocabulary.choices("abcdefghij", k=vocabulary.randint(2, 7))) for _ in range(400)]
    return " ".join(random.Random(seed).choices(known, [1 / (i + 1) for i in range(400)], k=words))


TRAINING, *HALVES = (zipf_text(seed) for seed in (1, 2, 3))
REAL = [zipf_text(4)[i : i + 500] for i in range(0, 10_000, 500)]


def misspelt(rate: float) -> list[str]:
    generator = random.Random(7)
    return ["".join(generator.choice("klmnop ") if generator.random() < rate else c for c in text) for text in REAL]


@given(HISTOGRAMS, HISTOGRAMS)
def test_divergence_is_symmetric_0_for_equal_and_at_most_1_bit(p, q):
    size = max(len(p), len(q))
    p, q = (np.pad(np.array(x, float), (0, size - len(x))) for x in (p, q))
    assert js_divergence(p, 3 * p) == pytest.approx(0, abs=1e-12)
    assert js_divergence(p, q) == pytest.approx(js_divergence(q, p))
    assert 0 <= js_divergence(p, q) <= 1 + 1e-12
    assert js_divergence(np.concatenate([p, 0 * q]), np.concatenate([0 * p, q])) == pytest.approx(1)


def test_divergence_of_a_known_pair():
    """m = (3/4, 1/4): ½ log2(4/3) + ½ (½ log2(2/3) + ½ log2 2)."""
    expected = 0.5 * np.log2(4 / 3) + 0.25 * np.log2(2 / 3) + 0.25
    assert js_divergence(np.array([7, 0]), np.array([2, 2])) == pytest.approx(expected)


def test_figures_of_a_text_counted_by_hand():
    found = text_metrics(["A cat", "sat a 7"], "the cat, a dog", ("abab", "aabbccdd aabb"))
    assert found["valid_words"] == pytest.approx(3 / 4)  # of a, cat, sat, a
    assert found["distinct/1"] == pytest.approx(3 / 4)
    assert found["distinct/2"] == 1  # a cat, sat a: none reaches over two samples
    assert "distinct/3" not in found
    counts = np.array([3, 1, 1, 1, 2, 3, 1])  # a, A, c, s, t, space, 7
    assert found["unigram_entropy"] == pytest.approx(entropy(counts))
    assert found["js_divergence/4"] == pytest.approx(1)
    assert found["longest_copied_run"] == len(" cat")
    assert "copied_windows" not in found


def test_text_of_the_same_source_scores_as_the_held_out_half_does():
    found = text_metrics(REAL, TRAINING, tuple(HALVES))
    for n in range(1, 5):
        assert found[f"js_divergence/{n}"] == pytest.approx(found[f"js_floor/{n}"], rel=0.35, abs=3e-4)
    for name in ("valid_words", "distinct/1", "distinct/2", "unigram_entropy"):
        assert found[name] == pytest.approx(found[f"held_out/{name}"], rel=0.05)


def test_a_sample_that_is_the_held_out_half_is_its_floor():
    found = text_metrics([HALVES[1]], TRAINING, tuple(HALVES))
    for name in [name for name in found if name.startswith("held_out/")]:
        assert found[name.removeprefix("held_out/")] == found[name]
    assert all(found[f"js_divergence/{n}"] == found[f"js_floor/{n}"] for n in range(1, 5))
    assert all(text_metrics([HALVES[1]], TRAINING, (HALVES[1],) * 2)[f"js_divergence/{n}"] < 1e-12 for n in (1, 4))


def test_more_misspelling_is_further_from_real_text():
    found = [text_metrics(misspelt(rate), TRAINING, tuple(HALVES)) for rate in (0, 0.02, 0.1, 0.4)]
    for n in range(1, 5):
        assert (np.diff([each[f"js_divergence/{n}"] for each in found]) > 0).all()
    assert (np.diff([each["valid_words"] for each in found]) < 0).all()
    assert found[0]["js_floor/2"] == pytest.approx(found[3]["js_floor/2"])


def test_disjoint_alphabets_are_1_bit_apart():
    found = text_metrics(["xyz" * 20], "abc " * 50, ("cab " * 20, "bca " * 20))
    assert found["js_divergence/1"] == pytest.approx(1)
    assert found["valid_words"] == found["longest_copied_run"] == found["copied_windows"] == 0


def test_a_text_that_repeats_itself_has_few_distinct_grams():
    found = text_metrics(["one two " * 100], TRAINING, tuple(HALVES))
    assert found["distinct/1"] == pytest.approx(2 / 200)
    assert found["held_out/distinct/2"] > 0.5


def test_scripts_without_spaces_are_measured_by_character():
    chinese = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏"
    found = text_metrics(["天天地地"], chinese, (chinese, chinese))
    assert "valid_words" not in found
    assert found["distinct/1"] == pytest.approx(2 / 4)
    assert found["distinct/2"] == pytest.approx(3 / 3)


def test_vowel_signs_and_case_are_part_of_a_word():
    hindi = "यह हिन्दी में है " * 10
    assert text_metrics(["हिन्दी में"], hindi, (hindi, hindi))["valid_words"] == 1
    assert text_metrics(["ÜBER uns"], "über uns", ("a", "b"))["valid_words"] == 1


def longest_by_brute_force(samples: list[str], training: str) -> int:
    runs = (text[i:j] for text in samples for i in range(len(text)) for j in range(i + 1, len(text) + 1))
    return max((len(run) for run in runs if run in training), default=0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("ab", min_size=1, max_size=30), min_size=1, max_size=3), st.text("abc", min_size=1, max_size=80)
)
def test_the_longest_copied_run_is_that_of_brute_force(samples, training):
    assert copied_text(samples, training)["longest_copied_run"] == longest_by_brute_force(samples, training)


def test_copied_windows_are_those_of_brute_force(monkeypatch):
    """Also where what was copied lies across two parts of the training text."""
    monkeypatch.setattr("pixjax.evaluation.text_metrics._CHUNK", 1000)
    samples = [REAL[0] + TRAINING[950:1100], TRAINING[2000:2070], REAL[1], REAL[2][:20]]
    windows = [text[i : i + WINDOW] for text in samples for i in range(len(text) - WINDOW + 1)]
    found = copied_text(samples, TRAINING)
    assert found["copied_windows"] == pytest.approx(np.mean([window in TRAINING for window in windows]))
    assert found["longest_copied_run"] >= 150
    assert samples[0][-151:] in TRAINING or found["longest_copied_run"] == 150


def test_what_the_caller_measured_is_averaged():
    found = text_metrics(
        ["a"], "a", ("a", "a"), margin=np.array([[1.0, 0.5]]), tag_correct=np.array([True, True, False, True])
    )
    assert found["mean_margin"] == pytest.approx(0.75)
    assert found["tag_accuracy"] == pytest.approx(0.75)


@pytest.mark.parametrize("texts", [([""], "a", ("a", "a")), (["a"], "", ("a", "a")), (["a"], "a", ("a", ""))])
def test_nothing_to_measure_is_refused(texts):
    with pytest.raises(InputError, match="holds no text"):
        text_metrics(*texts)

"""Equivalence and scaling are right as often as they say: on simulated studies, whose truth is known."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from pixjax.study.equivalence import Delta, differences
from pixjax.study.scaling import compute_multiple, fit_line
from pixjax.study.study import Comparison

MARGIN = 0.005
STUDIES = 400
WITHIN = 3 * math.sqrt(0.95 * 0.05 / STUDIES)  # of a share of 95 %: three binomial standard errors
COMPUTATIONS = (6.0, 12.0, 24.0, 48.0)


def delta(values, canvas_stderr=0.0):
    return Delta(values=tuple(float(value) for value in values), canvas_stderr=canvas_stderr)


def simulated(mean, spread, seeds, canvas_stderr=0.0, studies=STUDIES, seed=0):
    random = np.random.default_rng(seed)
    shift = random.normal(scale=canvas_stderr, size=(studies, 1)) if canvas_stderr else 0.0
    return [delta(row, canvas_stderr) for row in random.normal(mean, spread, (studies, seeds)) + shift]


@pytest.mark.parametrize("seeds", [3, 5, 7])
def test_the_interval_of_a_delta_holds_the_truth_as_often_as_it_says(seeds):
    intervals = [study.interval() for study in simulated(0.01, 0.004, seeds)]
    assert np.mean([low < 0.01 < high for low, high in intervals]) == pytest.approx(0.95, abs=WITHIN)


def test_what_canvases_add_widens_the_interval_by_as_much_as_it_has_to():
    intervals = [study.interval() for study in simulated(0.01, 0.002, 5, canvas_stderr=0.003)]
    assert 0.95 - WITHIN < np.mean([low < 0.01 < high for low, high in intervals]) < 0.99
    bare = [delta(study.values).interval() for study in simulated(0.01, 0.002, 5, canvas_stderr=0.003)]
    assert np.mean([low < 0.01 < high for low, high in bare]) < 0.7


@pytest.mark.parametrize("values", [[0.001, -0.002, 0.0005], [0.004, 0.0035, 0.0051, 0.003], [0.02, 0.021, 0.024]])
def test_the_test_of_equivalence_is_two_students_tests(values):
    sides = (
        stats.ttest_1samp(values, -MARGIN, alternative="greater").pvalue,
        stats.ttest_1samp(values, MARGIN, alternative="less").pvalue,
    )
    expected = max(sides) if max(sides) < 0.5 else 1.0
    assert delta(values).equivalence_p(MARGIN) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("truth", [MARGIN, -MARGIN])
def test_two_arms_a_margin_apart_are_called_equivalent_in_one_study_of_twenty(truth):
    called = [study.verdict(MARGIN) == "equivalent" for study in simulated(truth, 0.001, 5, studies=1000)]
    assert np.mean(called) == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 1000))


def test_two_equal_arms_are_found_equivalent_as_often_as_the_t_distribution_says():
    """With no difference and a small spread, power is P(|t| below what just fits), integrated over the spread."""
    spread, seeds, studies = 0.002, 7, 1000
    random = np.random.default_rng(1)  # an independent simulation: mean and variance of normal samples, drawn directly
    means = random.normal(scale=spread / math.sqrt(seeds), size=100_000)
    deviations = spread * np.sqrt(random.chisquare(seeds - 1, 100_000) / (seeds - 1))
    fits = np.abs(means) + stats.t.ppf(0.95, seeds - 1) * deviations / math.sqrt(seeds) < MARGIN
    called = [s.verdict(MARGIN) == "equivalent" for s in simulated(0.0, spread, seeds, studies=studies)]
    assert fits.mean() > 0.9
    assert np.mean(called) == pytest.approx(fits.mean(), abs=3 * math.sqrt(fits.mean() * (1 - fits.mean()) / studies))


@pytest.mark.parametrize(
    ("values", "canvas_stderr", "verdict"),
    [
        ([0.02, 0.021, 0.024], 0.0, "worse"),
        ([-0.02, -0.021, -0.024], 0.0, "better"),
        ([0.0005, 0.0002, -0.0004], 0.0, "equivalent"),
        ([0.0020, 0.0021, 0.0022], 0.0, "equivalent"),  # certainly worse, by less than matters
        ([0.0020, 0.0021, 0.0022], 0.01, "undecided"),
        ([0.02, -0.02, 0.03], 0.0, "undecided"),
        ([0.02, 0.021], 0.0, "no conclusion"),
        ([0.02], 0.0, "no conclusion"),
        ([0.02, 0.02, 0.02], 0.0, "no conclusion"),
        ([0.02, 0.021, 0.024], math.inf, "no conclusion"),
        ([0.02, math.nan, 0.024], 0.0, "no conclusion"),
    ],
)
def test_a_verdict_says_what_the_numbers_carry(values, canvas_stderr, verdict):
    assert delta(values, canvas_stderr).verdict(MARGIN) == verdict


def runs(factor, canvas_shares=(0.0,) * 8):
    """Of three seeds, whose canvases take what they do times a factor, and a share of their own."""
    found = {}
    for seed, value in enumerate((2.0, 2.2, 2.4)):
        bits = [value * factor * (1 + share) for share in canvas_shares]
        by_canvas = {"text": {"blocks=1": bits, "mixed": [1.0] * len(bits)}}
        text = {"likelihood": {"headline": "mixed"}, "by_blocks": {"whole": {"bits_per_char": 3.0}}}
        found[seed] = {"bits_per_char": value * factor, "blocks": "1", "canvas_bits": by_canvas, "text": text}
    return found


def test_a_difference_is_of_the_logarithms_of_paired_runs_and_canvases_come_in_as_a_ratios_error():
    shares = (0.03, -0.03, 0.02, -0.02)
    comparison = Comparison(name="n", reference="a", arm="b")
    (found,) = differences([comparison], {"a": runs(1.0, (0.0,) * 4), "b": runs(1.01, shares)})
    assert found.metric == "bits_per_char"
    assert found.delta.values == pytest.approx([math.log(1.01)] * 3)
    assert found.delta.canvas_stderr == pytest.approx(math.sqrt(4 / 3 * sum(share**2 for share in shares)) / 4)


def scaling_points(random, slope, spread, seeds=3):
    x = np.repeat(COMPUTATIONS, seeds)
    return x, 1.0 + slope * np.log(x) + random.normal(scale=spread, size=len(x))


def test_intervals_of_exponents_hold_the_truth_as_often_as_they_say():
    random, held = np.random.default_rng(2), []
    for _ in range(STUDIES):
        low, high = fit_line(*scaling_points(random, -0.11, 0.01)).slope_interval
        held.append(low < -0.11 < high)
    assert np.mean(held) == pytest.approx(0.95, abs=WITHIN)


@pytest.mark.parametrize("far", [191.0, 1000.0])
def test_a_new_seed_at_more_computation_falls_into_the_interval_that_was_predicted(far):
    random, held = np.random.default_rng(3), []
    for _ in range(STUDIES):
        line = fit_line(*scaling_points(random, 0.002, 0.003))
        _, low, high = line.predict(far)
        held.append(low < 1.0 + 0.002 * math.log(far) + random.normal(scale=0.003) < high)
    assert np.mean(held) == pytest.approx(0.95, abs=WITHIN)


def test_a_line_is_that_of_least_squares():
    x, y = scaling_points(np.random.default_rng(4), -0.1, 0.01)
    line = fit_line(x, y)
    slope, intercept = np.polyfit(np.log(x), y, 1)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept))
    middle, low, high = line.predict(100.0, canvas_stderr=0.5)
    assert middle == pytest.approx(intercept + slope * math.log(100))
    assert high - low > 2 * 1.95 * 0.5


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([12.0] * 5, [1.0, 1.1, 1.2, 1.0, 0.9]),  # one computation
        ([6.0, 12.0, 24.0], [1.0, 1.1, 1.3]),  # too few
        ([6.0, 12.0, 24.0, 48.0], [1.0, 1.0, 1.0, 1.0]),  # no scatter
        ([6.0, 12.0, 24.0, 48.0], [1.0, math.nan, 1.1, 1.0]),
    ],
)
def test_where_no_line_can_be_trusted_there_is_none(x, y):
    assert fit_line(x, y) is None


def test_a_multiple_of_computation_is_what_gets_as_far():
    """L = C ** -0.1: with a tenth less of ln L than 0.1 ln 2, alone gets as far with half of the computation."""
    random = np.random.default_rng(5)
    x, y = scaling_points(random, -0.1, 1e-4)
    found = compute_multiple(delta(0.1 * math.log(2) + np.array([-1e-4, 0.0, 1e-4])), fit_line(x, y))
    assert found == pytest.approx((0.5, 0.5, 0.5), abs=0.01)


def test_intervals_of_multiples_hold_the_truth_as_often_as_they_say():
    random, held = np.random.default_rng(6), []
    for study in simulated(0.02, 0.004, 5, seed=7):
        _, low, high = compute_multiple(study, fit_line(*scaling_points(random, -0.1, 0.01)))
        held.append(low < math.exp(0.02 / -0.1) < high)
    assert np.mean(held) == pytest.approx(0.95, abs=WITHIN)


def test_without_an_exponent_below_zero_there_is_no_multiple():
    random, of_seeds = np.random.default_rng(8), delta([0.02, 0.021, 0.024])
    assert compute_multiple(of_seeds, None) is None
    assert compute_multiple(of_seeds, fit_line(*scaling_points(random, 0.1, 0.01))) is None
    assert compute_multiple(of_seeds, fit_line(*scaling_points(random, -0.001, 0.1))) is None
    assert compute_multiple(delta([0.02, 0.02]), fit_line(*scaling_points(random, -0.1, 0.01))) is None


def test_json_of_these_has_no_nan():
    assert json.dumps([delta([0.1]).interval(), delta([0.1]).equivalence_p(MARGIN)], allow_nan=False) == "[null, null]"

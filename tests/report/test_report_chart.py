"""Charts: lines where their numbers are, ticks at round numbers, gaps kept."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from report_under_test import page_of

from pixjax.report import Chart, Series
from pixjax.report.axis import make_axis
from pixjax.report.chart import kept_points


def drawn(chart: Chart) -> dict[str, list[np.ndarray]]:
    """By kind, the subpaths of a chart of one series: places in thousandths, from the top left."""
    page = page_of(chart)
    paths: dict[str, list[np.ndarray]] = {}
    for _, attributes, _ in page.all("path"):
        for part in attributes["d"].removeprefix("M").split("M"):
            points = [point.split() for point in part.rstrip("Z").removesuffix("h0").split("L")]
            if "h" not in part.removesuffix("h0"):
                paths.setdefault(attributes["class"], []).append(np.array(points, float))
    return paths


def test_a_line_is_where_its_numbers_are():
    paths = drawn(Chart("c", "x", "y", (Series("s", [0, 10, 5], [0, 1, 0.25]),)))
    np.testing.assert_allclose(paths["line series-0"], [[[0, 1000], [500, 750], [1000, 0]]])
    assert len(paths["dots series-0"]) == 3


def test_equal_ratios_are_equally_far_apart_on_a_log_axis():
    chart = Chart("c", "x", "y", (Series("s", [1, 10, 1000, 0, -1], [1e-4, 1e-3, 1e-2, 1, 1]),), x_log=True, y_log=True)
    (line,) = drawn(chart)["line series-0"]
    np.testing.assert_allclose(line, [[0, 1000], [1000 / 3, 500], [1000, 0]], atol=0.06)


def test_gaps_part_a_line_and_a_lone_point_keeps_its_interval():
    y = [0, 1, None, 0.5, np.nan, 1, 0]
    low, high = ([None if v is None else v + d for v in y] for d in (-0.25, 0.25))
    paths = drawn(Chart("c", "x", "y", (Series("s", range(7), y, low, high),), y_min=-1))
    assert [len(part) for part in paths["line series-0"]] == [2, 2]
    assert [len(part) for part in paths["band series-0"]] == [4, 4]
    ((bar_low, bar_high),) = paths["bar series-0"]
    assert bar_low[0] == bar_high[0] == 500
    assert bar_low[1] > bar_high[1]


def test_points_that_are_not_joined_have_bars():
    paths = drawn(Chart("c", "x", "y", (Series("s", [0, 1], [1, 2], [0, 1], [2, 3], joined=False),)))
    assert set(paths) == {"bar series-0", "dots series-0"}
    assert len(paths["bar series-0"]) == 2


def test_labels_of_references_do_not_lie_on_one_another():
    references = (("unigram", 1.0), ("bigram", 1.001), ("far", 0.0))
    page = page_of(Chart("c", "x", "y", (Series("s", [0, 1], [0, 1]),), references))
    labels = [(attributes["y"], "".join(text)) for _, attributes, text in page.all("text") if "class" in attributes]
    assert [text for _, text in labels] == ["far 0", "unigram 1", "bigram 1"]
    heights = [float(y.rstrip("%")) for y, _ in labels]
    assert min(-np.diff(heights)) > 5


FLOATS = st.floats(-1e12, 1e12) | st.floats(-1, 1) | st.sampled_from([0.0, 1e-7, 5e-324, 1e300, -1e300])


# Values as they come, and two that hardly differ.
VALUES = st.lists(FLOATS, min_size=1, max_size=5) | st.builds(
    lambda value, share: [value, value * (1 + share)], FLOATS.filter(bool), st.floats(1e-13, 1e-3)
)


@given(VALUES, st.booleans(), st.booleans())
@example([1e-9, 1.0000000011e-9], True, False)
@example([123456789.0, 123456789.5], False, True)
def test_an_axis_shows_all_values_between_few_ticks_that_can_be_told_apart(values, log, tight):
    values = [abs(value) + 1e-9 for value in values] if log else values
    axis = make_axis(values, log=log, tight=tight)
    places = axis.place(np.array(values))
    assert np.all((places >= -1e-6) & (places <= 1 + 1e-6))
    ticks, labels = zip(*axis.ticks, strict=True) if axis.ticks else ((), ())
    assert list(ticks) == sorted(ticks)
    assert all(-1e-6 <= axis.place(tick) <= 1 + 1e-6 for tick in ticks)
    assert len(set(labels)) == len(labels) <= 12
    assert max(map(len, labels), default=0) <= 9


@pytest.mark.parametrize(
    ("values", "log", "labels"),
    [
        ((0, 1), False, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((-3, 7.3), False, ["−5.0", "−2.5", "0", "2.5", "5.0", "7.5"]),
        ((0, 200_000), False, ["0", "50k", "100k", "150k", "200k"]),
        ((0, 2e-4), False, ["0", "5e−5", "1e−4", "1.5e−4", "2e−4"]),
        ((0, 12), False, ["0", "2.5", "5.0", "7.5", "10.0", "12.5"]),
        ((0.03, 0.4), True, ["0.02", "0.05", "0.1", "0.2", "0.5"]),
        ((1, 1000), True, ["1", "10", "100", "1,000"]),
        ((1e-6, 1), True, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰"]),
        ((2, 2.4), True, ["2.0", "2.1", "2.2", "2.3", "2.4"]),
        ((2.71828, 2.71829), False, ["≈2.7", "+2e−6", "+4e−6", "+6e−6", "+8e−6", "+1e−5"]),
        ((1e10, 1.00001e10), False, ["≈1e10", "+20k", "+40k", "+60k", "+80k", "+100k"]),
    ],
)
def test_ticks_are_round_numbers(values, log, labels):
    assert [label for _, label in make_axis(values, log=log).ticks] == labels


def test_thinned_points_keep_every_extreme_and_every_gap():
    n, buckets = 20_000, 100
    place, y = np.linspace(0, 1, n), np.random.default_rng(0).standard_normal(n)
    y[12_345] = np.nan
    kept = kept_points(place, y[None], buckets)
    assert len(kept) < n / 20
    assert 12_345 in kept
    for column in range(buckets):
        inside = np.arange(n)[(place >= column / buckets) & (place < (column + 1) / buckets)]
        shown = np.intersect1d(inside, kept)
        assert (np.nanmin(y[shown]), np.nanmax(y[shown])) == (np.nanmin(y[inside]), np.nanmax(y[inside]))
        assert {inside[0], inside[-1]} <= set(shown)

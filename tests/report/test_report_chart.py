"""Charts: lines where their numbers are, ticks at round numbers, gaps kept."""

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from report_under_test import json_blocks, page_of

from pixjax.report import Chart, Series, render
from pixjax.report.blocks import Report, Section
from pixjax.report.chart import STYLE, drawable, scale_axis

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> dict[str, list[np.ndarray]]:
    """By the kind of a mark and the number of its series, its subpaths, in the numbers of the chart's axes."""
    page = page_of(chart)
    (values,) = json_blocks(page)
    ((_, image, _),) = page.all("img")
    svg = ElementTree.fromstring(base64.b64decode(image["src"].partition(",")[2]))
    plot = svg.find(f".//{SVG}clipPath/{SVG}rect").attrib
    (left, top), (width, height) = ([float(plot[name]) for name in pair] for pair in ("xy", ("width", "height")))

    def number(place: np.ndarray, low: float, high: float, log: bool) -> np.ndarray:
        return low * (high / low) ** place if log else low + place * (high - low)

    def points(text: str) -> np.ndarray:
        x, y = np.array(re.findall(r"-?[\d.]+", text), float).reshape(-1, 2).T
        return np.stack([number((x - left) / width, *values["x"]), number(1 - (y - top) / height, *values["y"])], -1)

    marks = {}
    for group in svg.iter(f"{SVG}g"):
        if re.fullmatch(r"(line|band|bars)-\d+", group.get("id", "")):
            paths = [path.get("d") for path in group.findall(f"{SVG}path")]
            marks[group.get("id")] = [points(part) for path in paths for part in path.split("M")[1:]]
        if re.fullmatch(r"line-\d+", group.get("id", "")):
            dots = [points(f"{dot.get('x')} {dot.get('y')}") for dot in group.iter(f"{SVG}use")]
            marks[group.get("id").replace("line", "dots")] = dots
    return {kind: parts for kind, parts in marks.items() if parts}


def test_a_line_is_where_its_numbers_are():
    marks = drawn(Chart("c", "x", "y", (Series("s", [0, 10, 5], [0, 1, 0.25]),)))
    np.testing.assert_allclose(marks["line-0"], [[[0, 0], [5, 0.25], [10, 1]]], atol=1e-4)
    assert len(marks["dots-0"]) == 3


def test_equal_ratios_are_equally_far_apart_on_a_log_axis():
    chart = Chart("c", "x", "y", (Series("s", [1, 10, 1000, 0, -1], [1e-4, 1e-3, 1e-2, 1, 1]),), x_log=True, y_log=True)
    (line,) = drawn(chart)["line-0"]
    np.testing.assert_allclose(line, [[1, 1e-4], [10, 1e-3], [1000, 1e-2]], rtol=1e-4)


def test_gaps_part_a_line_and_a_lone_point_keeps_its_interval():
    y = [0, 1, None, 0.5, np.nan, 1, 0]
    low, high = ([None if v is None else v + d for v in y] for d in (-0.25, 0.25))
    marks = drawn(Chart("c", "x", "y", (Series("s", range(7), y, low, high),), y_min=-1))
    assert [len(part) for part in marks["line-0"] if len(part) > 1] == [2, 2]
    bands = [{tuple(point) for point in part.round(3).tolist()} for part in marks["band-0"]]
    assert bands == [{(0, -0.25), (0, 0.25), (1, 0.75), (1, 1.25)}, {(5, 0.75), (5, 1.25), (6, -0.25), (6, 0.25)}]
    np.testing.assert_allclose(marks["bars-0"], [[[3, 0.25], [3, 0.75]]], atol=1e-4)


def test_points_that_are_not_joined_have_bars():
    marks = drawn(Chart("c", "x", "y", (Series("s", [0, 1], [1, 2], [0, 1], [2, 3], joined=False),)))
    assert set(marks) == {"bars-0", "dots-0"}
    np.testing.assert_allclose(marks["bars-0"], [[[0, 0], [0, 2]], [[1, 1], [1, 3]]], atol=1e-4)


def test_every_extreme_and_every_gap_of_many_points_is_drawn():
    n = 20_000
    y = np.random.default_rng(0).standard_normal(n)
    y[12_345] = np.nan
    before, after = drawn(Chart("c", "x", "y", (Series("s", range(n), y.tolist()),)))["line-0"]
    assert [round(before[-1, 0]), round(after[0, 0])] == [12_344, 12_346]
    line = np.concatenate([before, after])
    assert len(line) < n
    for column in np.array_split(np.arange(n), 100):
        shown = line[(line[:, 0] >= column[0] - 0.5) & (line[:, 0] <= column[-1] + 0.5), 1]
        np.testing.assert_allclose([shown.min(), shown.max()], [np.nanmin(y[column]), np.nanmax(y[column])], atol=0.02)


def test_a_chart_is_the_same_each_time_and_begins_where_it_is_told_to():
    chart = Chart("c", "x", "y", (Series("s", [1, 2], [-3, -2]),), y_min=0.0)
    report = Report("", "", (Section("", (chart,)),))
    assert render(report) == render(report)
    low, high, log = json_blocks(page_of(chart))[0]["y"]
    assert (low, log) == (0, False)
    assert high > low


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


@dataclasses.dataclass(frozen=True)
class Ticks:
    """places, labels: of the ticks of an axis. ends: of the axis. offset: what is to be added to each label."""

    places: list[float]
    labels: list[str]
    ends: tuple[float, float, bool]
    offset: str


def ticks_of(values: list[float], log: bool) -> Ticks:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.5, 3))
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        axes.plot(range(len(values)), values)
        ends = scale_axis(axes, "y", log=log)
        figure.draw_without_rendering()
    low, high, _ = ends
    ticks = [tick for tick in axes.yaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    labels = [re.sub(r"\$\\mathdefault\{(.*)\}\$", r"\1", tick.label1.get_text()) for tick in ticks]
    return Ticks([tick.get_loc() for tick in ticks], labels, ends, axes.yaxis.get_offset_text().get_text())


@given(VALUES, st.booleans())
@example([1e-9, 1.0000000011e-9], True)
@example([123456789.0, 123456789.5], False)
@example([-1e300, 1e300], False)
@example([1e-200, 1e200], True)
def test_an_axis_shows_all_values_between_few_ticks_that_can_be_told_apart(values, log):
    values = [abs(value) + 1e-9 if log and value else value for value in values]
    values = [value for value in values if drawable(np.array(value), log)]
    assume(values)
    ticks = ticks_of(values, log)
    low, high, _ = ticks.ends
    assert low <= min(values) <= max(values) <= high
    assert ticks.places == sorted(ticks.places)
    assert 1 <= len(set(ticks.labels)) == len(ticks.labels) <= 12
    assert max(map(len, ticks.labels)) <= 9


@pytest.mark.parametrize(
    ("values", "log", "labels", "offset"),
    [
        ((0, 1), False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"], ""),
        ((-3, 7.3), False, ["−2", "0", "2", "4", "6"], ""),
        ((0, 200_000), False, ["0", "50000", "100000", "150000", "200000"], ""),
        ((0, 2e-4), False, ["0.0", "0.5", "1.0", "1.5", "2.0"], "1e−4"),
        ((0, 12), False, ["0", "2", "4", "6", "8", "10", "12"], ""),
        ((0.03, 0.4), True, ["0.05", "0.1", "0.2"], ""),
        ((1, 200), True, ["1", "2", "5", "10", "20", "50", "100", "200"], ""),
        ((1, 1000), True, [f"10^{{{power}}}" for power in range(4)], ""),
        ((1e-6, 1), True, [f"10^{{{power}}}" for power in range(-6, 1)], ""),
        ((2, 2.4), True, ["2.0", "2.1", "2.2", "2.3", "2.4"], ""),
        ((10, 1e6), True, [f"10^{{{power}}}" for power in range(1, 7)], ""),
        ((2.71828, 2.71829), False, ["8.0", "8.2", "8.4", "8.6", "8.8", "9.0"], "1e−5+2.7182"),
        ((1e10, 1.00001e10), False, ["0", "20000", "40000", "60000", "80000", "100000"], "+1e10"),
    ],
)
def test_ticks_are_round_numbers(values, log, labels, offset):
    ticks = ticks_of(list(values), log)
    assert (ticks.labels, ticks.offset) == (labels, offset)

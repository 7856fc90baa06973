"""Charts as SVG that fits any width: places are percentages of the plot, and text keeps its size.

Lines live in a nested drawing of 1000 x 1000 that is stretched over the plot; the width of their strokes is not. A dot
is a stroke of no length with round ends, for the same reason. Of a series no more points are drawn than can be seen.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from pixjax.report.axis import Axis, make_axis
from pixjax.report.blocks import Chart, Series
from pixjax.report.text import DASH, escape, number, script_json, visible

COLORS = 6  # of page.css; further series are dashed
_DOTTED = 40  # points of a series up to which each gets a dot
_DENSE = 1000  # points above which a line is faint, and their median is drawn over it
_PARTS = 100  # of the axis, each with a median
_LISTED = 60  # distinct x up to which a chart has a table of its numbers
BUCKETS = 600  # of the axis, pixels that a chart is wide, about
_LABEL_HEIGHT = 0.065  # of a reference, as a part of the plot

References = Sequence[tuple[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlottedSeries:
    """x ascending; y nan in a gap, low and high nan where there is no interval."""

    name: str
    joined: bool
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]

    def runs(self) -> Iterator[Int[np.ndarray, " run"]]:
        """The indices of points to be joined; each by itself where none are."""
        there = np.flatnonzero(~np.isnan(self.y))
        breaks = np.flatnonzero(np.diff(there) > 1) + 1 if self.joined else np.arange(1, len(there))
        return (run for run in np.split(there, breaks) if len(run))

    def downsampled(self, x_axis: Axis) -> "PlottedSeries":
        kept = downsample(np.asarray(x_axis.place(self.x)), np.stack([self.y, self.low, self.high]))
        cut = {name: getattr(self, name)[kept] for name in ("x", "y", "low", "high")}
        return dataclasses.replace(self, **cut)

    def medians(self, x_axis: Axis, parts: int) -> "PlottedSeries":
        """One point for each of so many equal parts of the axis, in its middle; a gap where all values are missing."""
        part = np.minimum(np.floor(x_axis.place(self.x) * parts), parts - 1)
        runs = np.split(np.arange(len(part)), np.flatnonzero(np.diff(part)) + 1)
        there = [run[~np.isnan(self.y[run])] for run in runs]
        return PlottedSeries(
            name=self.name,
            joined=True,
            x=np.array([np.median(self.x[run]) for run in runs]),
            y=np.array([np.median(self.y[run]) if len(run) else np.nan for run in there]),
            low=np.full(len(runs), np.nan),
            high=np.full(len(runs), np.nan),
        )


def drawable(values: Float[np.ndarray, "..."], log: bool) -> Bool[np.ndarray, "..."]:
    """Finite, and positive for a log axis; not so extreme either that a difference would be infinite."""
    return (np.abs(values) <= 1e300) & ((values >= 1e-300) if log else True)


def plotted_series(series: Series, *, x_log: bool, y_log: bool) -> PlottedSeries:
    x = np.asarray(series.x, float)
    order = np.argsort(x, kind="stable")
    order = order[drawable(x[order], x_log)]

    def values(given) -> Float[np.ndarray, " n"]:
        floats = np.full(len(x), np.nan) if given is None else np.asarray(given, float)  # None becomes nan
        return np.where(drawable(floats, y_log), floats, np.nan)[order]

    y, low, high = values(series.y), values(series.low), values(series.high)
    without = np.isnan(y + low + high)
    return PlottedSeries(
        name=series.name,
        joined=series.joined,
        x=x[order],
        y=y,
        low=np.where(without, np.nan, low),
        high=np.where(without, np.nan, high),
    )


def downsample(
    place: Float[np.ndarray, " n"], curves: Float[np.ndarray, "curves n"], buckets: int = BUCKETS
) -> Int[np.ndarray, " kept"]:
    """Which of many points to draw, so that lines through them look as through all of them.

    In each of `buckets` equal parts of the axis the first and the last point are kept, the lowest and the highest of
    each curve (M4, Jugel et al., VLDB 2014), and the first that is nan, so that a gap stays. All are kept where there
    are few.

    Args:
      place: of each point on the axis, from 0 to 1, ascending.
      curves: what is drawn over it; nan is neither low nor high.
    """
    n = len(place)
    if n <= 4 * buckets:
        return np.arange(n)
    kept: set[int] = set()
    for run in np.split(np.arange(n), np.flatnonzero(np.diff(np.floor(place * buckets))) + 1):
        values = curves[:, run]
        gap = np.isnan(values)
        lowest, highest = np.where(gap, np.inf, values).argmin(axis=1), np.where(gap, -np.inf, values).argmax(axis=1)
        first_gap = gap.argmax(axis=1)[gap.any(axis=1)]
        kept.update(run[[0, -1, *lowest, *highest, *first_gap]].tolist())
    return np.array(sorted(kept))


def chart_html(chart: Chart) -> str:
    """A `<figure>`: title, legend, plot, the numbers in a table where they are few, and as JSON for the readout."""
    every = [plotted_series(series, x_log=chart.x_log, y_log=chart.y_log) for series in chart.series]
    references = [(name, y) for name, y in chart.references if drawable(np.array(y, float), chart.y_log)]
    x = np.concatenate([np.zeros(0), *(points.x for points in every)])
    y = np.concatenate([[y for _, y in references], *(part for one in every for part in (one.y, one.low, one.high))])
    title, y = f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>', y[~np.isnan(y)]
    if not len(x) or not len(y):
        return f'{title}<p class="nothing">There are no finite values to draw.</p></figure>'

    x_axis = make_axis(x.tolist(), log=chart.x_log, tight=True)
    y_axis = make_axis(y.tolist(), log=chart.y_log, low=chart.y_min)
    drawn = [points.downsampled(x_axis) for points in every]
    values = {
        "x": [x_axis.low, x_axis.high, x_axis.log],
        "y": [y_axis.low, y_axis.high, y_axis.log],
        "label": visible(chart.x_label),
        "series": [{"style": _style(i)} | _readout(points) for i, points in enumerate(drawn)],
    }
    note = '<p class="note">Bold: the median of each hundredth of the axis.</p>'
    return "".join(
        [
            title,
            _legend(drawn) if len(drawn) > 1 else "",
            f'<p class="y-label">{escape(chart.y_label)}</p>',
            f'<svg class="plot" role="img" tabindex="0" aria-label="{escape(_description(chart))}">',
            '<rect class="paper" width="100%" height="100%"/>',
            *_axes(x_axis, y_axis),
            f'<svg class="lines{" clipped" if np.any(y < y_axis.low) else ""}" width="100%" height="100%"'
            ' viewBox="0 0 1000 1000" preserveAspectRatio="none">',
            *(f'<path class="reference" d="M0 {_down(y_axis, value):.1f}h1000"/>' for _, value in references),
            *(_lines(x_axis, y_axis, _style(i), *both) for i, both in enumerate(zip(every, drawn, strict=True))),
            "</svg>",
            *_reference_labels(y_axis, references),
            '<line class="cursor" y2="100%" visibility="hidden"/>',
            *(f'<circle class="cursor {_style(i)}" r="4.5" visibility="hidden"/>' for i in range(len(drawn))),
            "</svg>",
            f'<p class="x-label">{escape(chart.x_label)}</p>',
            note if any(map(_dense, every)) else "",
            _numbers(chart.x_label, drawn),
            f'<script type="application/json">{script_json(values)}</script></figure>',
        ]
    )


def _style(index: int) -> str:
    return f"series-{index % COLORS}" + (" dashed" if index >= COLORS else "")


def _description(chart: Chart) -> str:
    names = ", ".join(series.name for series in chart.series)
    return f"{chart.title}: {chart.y_label} over {chart.x_label}, {names}. Arrow keys read the values."


def _legend(drawn: Sequence[PlottedSeries]) -> str:
    key = '<svg width="22" height="10" aria-hidden="true"><path class="line {}" d="M1 5h20"/></svg>'
    items = (f"<li>{key.format(_style(i))}{escape(points.name)}</li>" for i, points in enumerate(drawn))
    return f'<ul class="legend">{"".join(items)}</ul>'


# The drawing


def _axes(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    for value, label in y_axis.ticks:
        y = _percent(1 - y_axis.place(value))
        yield f'<line class="grid" x2="100%" y1="{y}" y2="{y}"/>'
        yield f'<text x="0" dx="-8" y="{y}" dy=".34em" text-anchor="end">{label}</text>'
    for value, label in x_axis.ticks:
        x = _percent(x_axis.place(value))
        yield f'<text x="{x}" y="100%" dy="1.6em" text-anchor="middle">{label}</text>'
    yield '<line class="axis" x2="100%" y1="100%" y2="100%"/>'


def _lines(x_axis: Axis, y_axis: Axis, style: str, points: PlottedSeries, drawn: PlottedSeries) -> str:
    faint = " dense" if _dense(points) else ""
    paths = [(f"{kind} {style}{faint}", path) for kind, path in _paths(x_axis, y_axis, drawn).items()]
    if faint:
        paths.append((f"line {style}", _paths(x_axis, y_axis, points.medians(x_axis, _PARTS))["line"]))
    return "".join(f'<path class="{kind}" d="{path}"/>' for kind, path in paths if path)


def _dense(points: PlottedSeries) -> bool:
    return points.joined and len(points.x) > _DENSE


def _paths(x_axis: Axis, y_axis: Axis, points: PlottedSeries) -> dict[str, str]:
    """The paths of a series' intervals, its lines and its dots."""

    def line(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> str:
        places = zip((1000 * np.asarray(x_axis.place(x))).tolist(), _down(y_axis, y).tolist(), strict=True)
        return "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in places)

    paths = {"band": "", "bar": "", "line": "", "dots": ""}
    for run in points.runs():
        x, y, low, high = points.x[run], points.y[run], points.low[run], points.high[run]
        if len(run) == 1:
            paths["bar"] += "" if np.isnan(low[0]) else line(x.repeat(2), np.append(low, high))
        else:
            paths["line"] += line(x, y)
            certain = np.flatnonzero(~np.isnan(low))
            for part in np.split(certain, np.flatnonzero(np.diff(certain) > 1) + 1):
                around = np.append(low[part], high[part][::-1])
                paths["band"] += line(np.append(x[part], x[part][::-1]), around) + "Z" if len(part) else ""
        if len(run) == 1 or len(points.x) <= _DOTTED:
            paths["dots"] += "".join(line(x[i : i + 1], y[i : i + 1]) + "h0" for i in range(len(run)))
    return paths


def _down(y_axis: Axis, value: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
    """From the top, in thousandths of the plot; not too far out of it."""
    return 1000 * np.clip(1 - y_axis.place(value), -9, 9)


def _percent(place: Float[np.ndarray, ""] | float) -> str:
    return f"{100 * place:.2f}%"


def _reference_labels(y_axis: Axis, references: References) -> Iterator[str]:
    """On the lines, from the lowest up; one that would lie over another moves up."""
    free = 0.0
    for name, value in sorted(references, key=lambda reference: reference[1]):
        place = max(float(y_axis.place(value)), free)
        free = place + _LABEL_HEIGHT
        at = f'x="100%" dx="-4" y="{_percent(1 - place)}" dy="-5" text-anchor="end"'
        yield f'<text class="reference" {at}>{escape(name)} {number(value, 3)}</text>'


# The numbers


def _readout(points: PlottedSeries) -> dict[str, Any]:
    there = ~np.isnan(points.y)
    intervals = not np.isnan(points.low).all()
    shown = {"x": points.x, "y": points.y} | ({"low": points.low, "high": points.high} if intervals else {})
    numbers = {name: [_short(value) for value in part[there].tolist()] for name, part in shown.items()}
    return {"name": visible(points.name), **numbers}


def _short(value: float) -> float | int:
    """As exact as it is read, in few characters."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")


def _numbers(x_label: str, drawn: Sequence[PlottedSeries]) -> str:
    xs = np.unique(np.concatenate([points.x for points in drawn]))
    if len(xs) > _LISTED:
        return ""
    columns = [dict(zip(points.x.tolist(), _cells(points), strict=True)) for points in drawn]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in (x_label, *(points.name for points in drawn)))
    rows = "".join(
        f'<tr><th scope="row">{number(x, 6)}</th>'
        + "".join(f"<td>{column.get(x, DASH)}</td>" for column in columns)
        + "</tr>"
        for x in xs.tolist()
    )
    table = f'<table class="numeric"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<details class="numbers"><summary>Numbers</summary><div class="scroll">{table}</div></details>'


def _cells(points: PlottedSeries) -> list[str]:
    return [
        number(y) + ("" if np.isnan(low) else f' <span class="interval">{number(low)} to {number(high)}</span>')
        for y, low, high in zip(points.y.tolist(), points.low.tolist(), points.high.tolist(), strict=True)
    ]

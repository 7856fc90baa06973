"""A chart as a `<figure>`: its curves drawn by matplotlib, its texts and numbers in HTML, where they wrap and are read.

The drawing is an SVG image: nothing in it can act on the page, and it has no names that another chart could have too.
"""

import base64
import dataclasses
import importlib.resources
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from pixjax.report.blocks import Chart, Series
from pixjax.report.html import DASH, escape, number, script_json, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = 6  # of colors.css; further series are dashed
_DOTTED = 40  # points of a series up to which each gets a dot
_LISTED = 60  # distinct x up to which a chart has a table of its numbers
_LABEL_HEIGHT = 0.075  # of a reference, as a part of the plot

_SIZE = (400, 230)  # of a drawing, in units of which its text is 10 high
_PLOT = (0.11, 0.1, 0.84, 0.83)  # the part of it inside of the axes: left, bottom, width, height
_TEXT = "text { font-family: system-ui, sans-serif !important; font-variant-numeric: tabular-nums }"

References = Sequence[tuple[str, float]]

# matplotlib draws with colours that stand for the variables of colors.css.
_NAMES = ("panel", "muted", "rule", *(f"color-{i}" for i in range(COLORS)))
_STAND_INS = {name: f"#01{i:02x}10" for i, name in enumerate(_NAMES)}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pixjax",  # without a salt names differ each time
    "font.sans-serif": ["DejaVu Sans"],  # it is there wherever matplotlib is; the reader's own font is shown
    "font.size": 10,
    "axes.edgecolor": _STAND_INS["muted"],
    "axes.facecolor": _STAND_INS["panel"],
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "axes.formatter.limits": (-3, 6),
    "grid.color": _STAND_INS["rule"],
    "xtick.color": _STAND_INS["muted"],
    "ytick.color": _STAND_INS["muted"],
    "xtick.bottom": False,
    "ytick.left": False,
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PlottedSeries:
    """x ascending; y nan in a gap, low and high nan where there is no interval."""

    name: str
    joined: bool
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]

    @property
    def alone(self) -> Bool[np.ndarray, " n"]:
        """Whether no line reaches a point: those beside it are gaps, or none are joined."""
        there = np.pad(~np.isnan(self.y), 1)
        return there[1:-1] & ~(self.joined & (there[:-2] | there[2:]))


def drawable(values: Float[np.ndarray, "..."], log: bool) -> Bool[np.ndarray, "..."]:
    """Finite, and positive for a log axis; not so extreme either that the end of an axis would be infinite."""
    return (values >= 1e-200) & (values <= 1e200) if log else np.abs(values) <= 1e300


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


def chart_html(chart: Chart) -> str:
    """A `<figure>`: title, legend, plot, the numbers in a table where they are few, and as JSON for the readout."""
    drawn = [plotted_series(series, x_log=chart.x_log, y_log=chart.y_log) for series in chart.series]
    references = [(name, y) for name, y in chart.references if drawable(np.array(y, float), chart.y_log)]
    title = f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>'
    if np.isnan(np.concatenate([np.zeros(0), *(points.y for points in drawn)])).all():
        return f'{title}<p class="nothing">There are no finite values to draw.</p></figure>'
    drawing = draw(chart, drawn, references)
    values = {
        "x": drawing.x,
        "y": drawing.y,
        "label": visible(chart.x_label),
        "series": [{"style": _style(i)} | _readout(points) for i, points in enumerate(drawn)],
    }
    image = base64.b64encode(drawing.svg).decode()
    return "".join(
        [
            title,
            _legend(drawn) if len(drawn) > 1 else "",
            f'<p class="y-label">{escape(chart.y_label)}</p>',
            f'<div class="drawing"><img alt="" src="data:image/svg+xml;base64,{image}">',
            f'<svg class="plot" role="img" tabindex="0" aria-label="{escape(_description(chart))}">',
            *_reference_labels(references, drawing.heights),
            '<line class="cursor" y2="100%" visibility="hidden"/>',
            *(f'<circle class="cursor {_style(i)}" r="4.5" visibility="hidden"/>' for i in range(len(drawn))),
            "</svg></div>",
            f'<p class="x-label">{escape(chart.x_label)}</p>',
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """svg: the plot and its ticks, the same for the same numbers.
    x, y: the low end of an axis, its high end, and whether places between them go by the logarithm.
    heights: of each reference in the plot, 0 at its bottom, 1 at its top.
    """

    svg: bytes
    x: tuple[float, float, bool]
    y: tuple[float, float, bool]
    heights: tuple[float, ...]


def draw(chart: Chart, drawn: Sequence[PlottedSeries], references: References) -> Drawing:
    """Draws what has a point at least."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(_SIZE[0] / 72, _SIZE[1] / 72), facecolor="none")
        axes = figure.add_axes(_PLOT)
        for index, points in enumerate(drawn):
            _draw_series(axes, index, points)
        for _, value in references:
            axes.axhline(value, color=_STAND_INS["muted"], linestyle=":", linewidth=1)
        x_ends, y_ends = scale_axis(axes, "x", log=chart.x_log), scale_axis(axes, "y", log=chart.y_log)
        if chart.y_min is not None:
            low, high = chart.y_min, y_ends[1]
            y_ends = (low, high if high > low else low + (abs(low) or 1), y_ends[2])
            axes.set_ylim(*y_ends[:2])
        to_plot = axes.transData - axes.transAxes
        heights = tuple(float(to_plot.transform((x_ends[0], value))[1]) for _, value in references)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = content.getvalue().decode()
    for name, stand_in in _STAND_INS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    start = svg.index("<svg")
    svg = svg[start:].replace("<defs>", f"<defs><style>{color_rules()}{_TEXT}</style></defs><defs>", 1)
    return Drawing(svg=svg.encode(), x=x_ends, y=y_ends, heights=heights)


def _draw_series(axes: "Axes", index: int, points: PlottedSeries) -> None:
    """A line with its gaps, and dots where they are few or alone. An interval is a band, or a bar of a point alone."""
    x, y, low, high, alone = points.x, points.y, points.low, points.high, points.alone
    color = _STAND_INS[f"color-{index % COLORS}"]
    dots = np.flatnonzero(alone | (len(x) <= _DOTTED)).tolist()
    dashes = ("--" if index >= COLORS else "-") if points.joined else "none"
    (line,) = axes.plot(x, y, color=color, linestyle=dashes, linewidth=1.5, gid=f"line-{index}")
    line.set(marker="o", markersize=4.5, markeredgewidth=0, markevery=dots)
    between, bars = ~alone & ~np.isnan(low), alone & ~np.isnan(low)
    if between.any():
        axes.fill_between(x, low, high, where=between, color=color, alpha=0.16, linewidth=0, gid=f"band-{index}")
    if bars.any():
        axes.vlines(x[bars], low[bars], high[bars], color=color, linewidth=1.2, gid=f"bars-{index}")


def scale_axis(axes: "Axes", name: str, *, log: bool) -> tuple[float, float, bool]:
    """Scales the axis x or y to what is drawn. Gives its ends, and whether it is a log axis, with ticks at 1, 2 and 5
    times the powers of ten up to a few of them; one that does not reach to twice its beginning stays linear.
    """
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    low, high = getattr(axes.dataLim, f"interval{name}")
    log = log and bool(high / low >= 2)
    if log:
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.minorticks_off()
        if high / low < 300:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    first, last = getattr(axes, f"get_{name}lim")()
    return float(first), float(last), log


def color_rules() -> str:
    """The colours of a page and of the drawings in it, by light and in the dark."""
    return (importlib.resources.files(__package__) / "colors.css").read_text(encoding="utf-8")


def plot_rule() -> str:
    """The style of what lies over the plot of a drawing."""
    left, bottom, width, height = (f"{100 * part:g}%" for part in _PLOT)
    return f".plot {{ left: {left}; bottom: {bottom}; width: {width}; height: {height} }}\n"


def _reference_labels(references: References, heights: Sequence[float]) -> Iterator[str]:
    """On the lines, from the lowest up; one that would lie over another moves up."""
    free = 0.0
    for height, (name, value) in sorted(zip(heights, references, strict=True)):
        place = max(height, free)
        free = place + _LABEL_HEIGHT
        at = f'x="100%" dx="-4" y="{100 * (1 - place):.2f}%" dy="-5" text-anchor="end"'
        yield f'<text class="reference" {at}>{escape(name)} {number(value, 3)}</text>'


# The numbers


def _readout(points: PlottedSeries) -> dict[str, Any]:
    there = ~np.isnan(points.y)
    intervals = not np.isnan(points.low).all()
    shown = {"x": points.x, "y": points.y} | ({"low": points.low, "high": points.high} if intervals else {})
    numbers = {name: [_short(value) for value in part[there].tolist()] for name, part in shown.items()}
    return {"name": visible(points.name), **numbers}


def _short(value: float) -> float | int:
    """A number as exact as it is read, in few characters."""
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

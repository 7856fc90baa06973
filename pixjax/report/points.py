"""What is drawn of a series: sorted, gaps made nan, no more points than can be seen."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from pixjax.report.axis import Axis
from pixjax.report.blocks import Series
from pixjax.report.thinning import kept_points


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Points:
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

    def thinned(self, x_axis: Axis) -> "Points":
        kept = kept_points(x_axis.place(self.x), np.stack([self.y, self.low, self.high]))
        cut = {name: getattr(self, name)[kept] for name in ("x", "y", "low", "high")}
        return dataclasses.replace(self, **cut)

    def medians(self, x_axis: Axis, parts: int) -> "Points":
        """One point for each of so many equal parts of the axis, in its middle; a gap where all values are missing."""
        part = np.minimum(np.floor(x_axis.place(self.x) * parts), parts - 1)
        runs = np.split(np.arange(len(part)), np.flatnonzero(np.diff(part)) + 1)
        there = [run[~np.isnan(self.y[run])] for run in runs]
        return Points(
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


def points_of(series: Series, *, x_log: bool, y_log: bool) -> Points:
    x = np.asarray(series.x, float)
    order = np.argsort(x, kind="stable")
    order = order[drawable(x[order], x_log)]

    def values(given) -> Float[np.ndarray, " n"]:
        floats = np.full(len(x), np.nan) if given is None else np.asarray(given, float)  # None becomes nan
        return np.where(drawable(floats, y_log), floats, np.nan)[order]

    y, low, high = values(series.y), values(series.low), values(series.high)
    without = np.isnan(y + low + high)
    return Points(
        name=series.name,
        joined=series.joined,
        x=x[order],
        y=y,
        low=np.where(without, np.nan, low),
        high=np.where(without, np.nan, high),
    )

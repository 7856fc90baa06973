"""How a figure goes with computation: a line over ln C, with the intervals of its slope and of what it predicts."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from pixjax.study.equivalence import Delta
from pixjax.study.statistics import CONFIDENCE

FEWEST_POINTS = 4  # two degrees of freedom are left
_TAIL = 0.5 + CONFIDENCE / 2
_NOISE = 1e-9  # a spread below this is rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogLine:
    """y = intercept + slope · ln C by least squares, C in TFLOP.

    spread: the standard deviation of what is left, with count - 2 degrees of freedom.
    center, squares: the mean of ln C, and the sum of squares around it.
    """

    intercept: float
    slope: float
    spread: float
    count: int
    center: float
    squares: float

    @property
    def slope_stderr(self) -> float:
        return self.spread / math.sqrt(self.squares)

    @property
    def slope_interval(self) -> tuple[float, float]:
        half = float(stats.t.ppf(_TAIL, self.count - 2)) * self.slope_stderr
        return self.slope - half, self.slope + half

    def predict(self, teraflops: float, canvas_stderr: float = 0.0) -> tuple[float, float, float]:
        """What a new seed is expected to have at a computation, and the interval it is in with 95 %.

        canvas_stderr: what the choice of test canvases adds, as if all points shared it and the line did not show it.
        """
        x = math.log(teraflops)
        y = self.intercept + self.slope * x
        leverage = 1 + 1 / self.count + (x - self.center) ** 2 / self.squares
        over_seeds = stats.t.ppf(_TAIL, self.count - 2) * self.spread * math.sqrt(leverage)
        half = float(np.hypot(over_seeds, stats.norm.ppf(_TAIL) * canvas_stderr))
        return y, y - half, y + half


def fit_line(teraflops: Sequence[float], values: Sequence[float]) -> LogLine | None:
    """None where no line can be drawn, or nothing said of its error: too few points, one computation, no scatter."""
    x, y = np.log(np.asarray(teraflops, float)), np.asarray(values, float)
    if len(x) < FEWEST_POINTS or np.ptp(x) < _NOISE or not np.isfinite([*x, *y]).all():
        return None
    line = stats.linregress(x, y)
    spread = math.sqrt(float(np.sum((y - line.intercept - line.slope * x) ** 2)) / (len(x) - 2))
    if spread < _NOISE:
        return None
    return LogLine(
        intercept=float(line.intercept),
        slope=float(line.slope),
        spread=spread,
        count=len(x),
        center=float(np.mean(x)),
        squares=float(np.sum((x - np.mean(x)) ** 2)),
    )


def compute_multiple(delta: Delta, exponent: LogLine | None) -> tuple[float, float, float] | None:
    """How many times the computation alone gets as far as the arm does: exp(delta / exponent), and its interval.

    Below 1 the arm wastes computation. The interval is to first order, its degrees of freedom are Welch's and
    Satterthwaite's. None where there is no delta to conclude from, or the exponent is not shown to be below zero.
    """
    if exponent is None or not delta.is_conclusive or exponent.slope_interval[1] >= 0:
        return None
    slope, mean = exponent.slope, delta.mean
    parts = (delta.seed_stderr / slope, mean * exponent.slope_stderr / slope**2)
    variance = sum(part**2 for part in parts)
    freedoms = (len(delta.values) - 1, exponent.count - 2)
    freedom = variance**2 / sum(part**4 / n for part, n in zip(parts, freedoms, strict=True))
    over_canvases = stats.norm.ppf(_TAIL) * delta.canvas_stderr / slope
    half = float(np.hypot(stats.t.ppf(_TAIL, freedom) * math.sqrt(variance), over_canvases))
    log_multiple = mean / slope
    low, middle, high = (math.exp(min(log_multiple + by, 700.0)) for by in (-half, 0.0, half))
    return middle, low, high

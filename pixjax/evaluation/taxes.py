"""What one way of training costs against another: paired by seed, with an interval that says how sure it is."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95

# Where a figure stands in the metrics of a run, and what it is called. The network alone tells models apart where the
# matched filter, which is the same for all of them, gives most of the bound.
FIGURES = {
    "bits_per_char": (("bits_per_char",), "bits per character"),
    "network_bits_per_char": (("text", "likelihood", "network", "bits_per_char"), "bits per character, network alone"),
    "bits_per_token": (("bits_per_token",), "bits per token"),
    "bits_per_dim": (("bits_per_dim",), "bits per dimension"),
}
Run = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tax:
    """The change of a figure in percent; above zero is worse. Without two seeds there is no interval."""

    comparison: str
    reference: str
    arm: str
    metric: str
    percent: float
    low: float
    high: float
    seeds: int

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return math.isfinite(self.low) and (self.low > 0 or self.high < 0)


def found(run: Run, path: Sequence[str]) -> float | None:
    """The figure at a path into the metrics of a run, if it is there."""
    value: Any = run
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean, and Student's interval around it; infinite for one value."""
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return mean, -math.inf, math.inf
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return mean, mean - half, mean + half


def taxes_of(comparisons: Sequence[Any], results: Mapping[str, Mapping[int, Run]]) -> list[Tax]:
    """For each comparison and each figure that both arms have: the mean over seeds of the relative change.

    Both arms of a seed saw the same data order where they could, and are measured on the same canvases with the same
    noise, so that what they share cancels.
    """
    taxes = []
    for comparison in comparisons:
        reference, arm = results[comparison.reference], results[comparison.arm]
        for metric, (path, _) in FIGURES.items():
            if metric == "bits_per_token" and any("bits_per_char" in run for run in reference.values()):
                continue  # the same information twice
            figures = {s: (found(reference[s], path), found(arm[s], path)) for s in reference if s in arm}
            changes = [100 * (ours / theirs - 1) for theirs, ours in figures.values() if theirs and ours]
            if not changes:
                continue
            percent, low, high = mean_and_interval(changes)
            taxes.append(
                Tax(
                    comparison=comparison.name,
                    reference=comparison.reference,
                    arm=comparison.arm,
                    metric=metric,
                    percent=percent,
                    low=low,
                    high=high,
                    seeds=len(changes),
                )
            )
    return taxes


def conclusion(tax: Tax) -> str:
    """One sentence that says what the numbers carry, and no more."""
    figure = FIGURES[tax.metric][1]
    if tax.seeds < 2:
        return (
            f"{tax.comparison}, {figure}: {tax.percent:+.1f} % with one seed. One seed has no interval: "
            "nothing can be concluded."
        )
    interval = (
        f"{tax.percent:+.1f} % ({CONFIDENCE:.0%} interval {tax.low:+.1f} to {tax.high:+.1f} %, {tax.seeds} seeds)"
    )
    if not tax.is_certain:
        return f"{tax.comparison}, {figure}: {interval}. The interval holds zero: no difference is shown."
    return f"{tax.comparison}, {figure}: {interval}. {tax.arm} is {'worse' if tax.percent > 0 else 'better'}."

"""The cost of one way of training against another: paired by seed and by canvas, with a confidence interval."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
FEWEST_SEEDS = 3  # two may agree by chance, and their interval then has no width

# Where a figure stands in the metrics of a run, and what it is called. The network alone tells models apart where what
# is known without it, which is the same for all of them, gives most of the bound.
FIGURES = {
    "bits_per_char": (("bits_per_char",), "bits per character"),
    "network_bits_per_char": (("text", "likelihood", "network", "bits_per_char"), "bits per character, network alone"),
    "whole_bits_per_char": (
        ("text", "by_blocks", "whole", "bits_per_char"),
        "bits per character, all at once",
    ),
    "bits_per_token": (("bits_per_token",), "bits per token"),
    "bits_per_dim": (("bits_per_dim",), "bits per dimension"),
    "network_bits_per_dim": (("image", "likelihood", "network", "bits_per_dim"), "bits per dimension, network alone"),
}
Run = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelativeChange:
    """The change of a figure in percent; above zero is worse. Without three seeds there is no interval."""

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


def found(run: Run, path: Sequence[str]) -> Any:
    """What stands at a path into the metrics of a run, None if nothing does."""
    value: Any = run
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def is_measured(value: Any) -> bool:
    """Whether it is a number that has a logarithm: a figure of a run that went wrong is none."""
    return isinstance(value, int | float) and math.isfinite(value) and value > 0


def mean_and_interval(values: Sequence[float], canvas_stderr: float = 0.0) -> tuple[float, float, float]:
    """The mean over seeds, and an interval around it; infinite for fewer than three.

    Its half-width is the root of the sum of two squares: of Student's over the seeds, and of the normal one over the
    canvases, whose standard error all seeds share.
    """
    count, mean = len(values), float(np.mean(values))
    if count < FEWEST_SEEDS:
        return mean, -math.inf, math.inf
    over_seeds = stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    half = float(np.hypot(over_seeds, stats.norm.ppf(0.5 + CONFIDENCE / 2) * canvas_stderr))
    return mean, mean - half, mean + half


def relative_changes(comparisons: Sequence[Any], results: Mapping[str, Mapping[int, Run]]) -> list[RelativeChange]:
    """For each comparison and each figure that both arms have: the mean over seeds of the relative change.

    Both arms of a seed saw the same data order where they could, and are measured on the same canvases with the same
    noise, so that what they share cancels; what is left of the choice of canvases is in the interval.
    """
    changes = []
    for comparison in comparisons:
        for metric, path, pairs in paired_runs(comparison, results):
            percents = [100 * (found(ours, path) / found(theirs, path) - 1) for theirs, ours in pairs]
            percent, low, high = mean_and_interval(percents, canvas_stderr(metric, pairs))
            changes.append(
                RelativeChange(
                    comparison=comparison.name,
                    reference=comparison.reference,
                    arm=comparison.arm,
                    metric=metric,
                    percent=percent,
                    low=low,
                    high=high,
                    seeds=len(percents),
                )
            )
    return changes


def paired_runs(
    comparison: Any, results: Mapping[str, Mapping[int, Run]]
) -> Iterator[tuple[str, tuple[str, ...], list[tuple[Run, Run]]]]:
    """Each figure that both arms have: its name, its path in the metrics, and (reference, arm) of each shared seed."""
    reference, arm = results[comparison.reference], results[comparison.arm]
    for metric, (path, _) in FIGURES.items():
        if metric == "bits_per_token" and any("bits_per_char" in run for run in reference.values()):
            continue  # the same information twice
        if metric == "whole_bits_per_char" and any(run.get("blocks", "whole") == "whole" for run in reference.values()):
            continue  # it is the headline
        pairs = [(reference[s], arm[s]) for s in reference if s in arm]
        if pairs := [pair for pair in pairs if all(is_measured(found(run, path)) for run in pair)]:
            yield metric, path, pairs


def canvas_stderr(metric: str, pairs: Sequence[tuple[Run, Run]]) -> float:
    """Standard error, in percent, of the mean change, by the choice of test canvases; infinite where it is not known.

    To first order as that of any ratio of sums (Cochran 1977, 6.4), from what each canvas took of both arms, averaged
    over seeds.
    """
    residuals = []
    for pair in pairs:
        theirs, ours = (_canvas_bits(metric, run) for run in pair)
        if theirs is None or ours is None or len(theirs) != len(ours):
            return math.inf
        residuals.append((ours - ours.sum() / theirs.sum() * theirs) / theirs.sum())
    mean = np.mean(residuals, axis=0)
    return float(100 * np.sqrt(len(mean) / (len(mean) - 1) * np.sum(mean**2)))


def _canvas_bits(metric: str, run: Run) -> Float[np.ndarray, " n"] | None:
    modality = "image" if metric.endswith("dim") else "text"
    figure: object = "network" if metric.startswith("network") else found(run, (modality, "likelihood", "headline"))
    order = found(run, ("blocks",))
    if metric in ("bits_per_char", "bits_per_token") and order not in (None, "whole"):
        figure = f"blocks={order}"
    bits = found(run, ("canvas_bits", modality, str(figure)))
    return None if bits is None else np.asarray(bits, np.float64)


def conclusion(change: RelativeChange) -> str:
    """One sentence that says what the numbers carry, and no more."""
    figure = FIGURES[change.metric][1]
    if change.seeds < FEWEST_SEEDS:
        return (
            f"{change.comparison}, {figure}: {change.percent:+.1f} % with {change.seeds} seed(s). Fewer than "
            f"{FEWEST_SEEDS} have no interval: nothing can be concluded."
        )
    if not math.isfinite(change.low):
        return (
            f"{change.comparison}, {figure}: {change.percent:+.1f} %. What each canvas took was not kept, and there is "
            "no interval without: nothing can be concluded. Measure the runs again."
        )
    interval = (
        f"{change.percent:+.1f} % ({CONFIDENCE:.0%} interval {change.low:+.1f} to {change.high:+.1f} %, "
        f"{change.seeds} seeds)"
    )
    if not change.is_certain:
        return f"{change.comparison}, {figure}: {interval}. The interval holds zero: no difference is shown."
    return f"{change.comparison}, {figure}: {interval}. {change.arm} is {'worse' if change.percent > 0 else 'better'}."

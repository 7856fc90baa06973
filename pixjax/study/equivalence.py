"""Whether two ways of training are as good as one another: paired differences of ln L, and a test of equivalence.

That a difference is not shown is no equivalence. Two one-sided t-tests (TOST, Schuirmann 1987) ask for the contrary:
they reject that the difference is as large as a margin, on either side.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy import optimize, stats

from pixjax.study.statistics import CONFIDENCE, FEWEST_SEEDS, Run, canvas_stderr, found, paired_runs
from pixjax.study.study import Comparison

LEVEL = 0.05  # of the test of equivalence
HEADLINES = ("bits_per_char", "bits_per_dim")  # what L is where a study decides
_NOISE = 1e-9  # a spread below this is rounding
Verdict = Literal["worse", "better", "equivalent", "undecided", "no conclusion"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delta:
    """ln L(arm) - ln L(reference) of each seed, above zero where the arm is worse, and what canvases add to its error.

    canvas_stderr: of the mean, by the choice of test canvases, which all seeds share; infinite where it is not known.
    """

    values: tuple[float, ...]
    canvas_stderr: float = 0.0

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def seed_stderr(self) -> float:
        return float(np.std(self.values, ddof=1)) / math.sqrt(len(self.values))

    @property
    def is_conclusive(self) -> bool:
        """Whether there are seeds enough, and they vary: that two agree, or all to the last digit, says nothing."""
        if len(self.values) < FEWEST_SEEDS or not np.isfinite([*self.values, self.canvas_stderr]).all():
            return False
        return self.seed_stderr > _NOISE

    def half_width(self, confidence: float) -> float:
        """Of the interval around the mean: Student's over seeds and the normal one over canvases, in quadrature."""
        tail = 0.5 + confidence / 2
        over_seeds = stats.t.ppf(tail, len(self.values) - 1) * self.seed_stderr
        return float(np.hypot(over_seeds, stats.norm.ppf(tail) * self.canvas_stderr))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        if not self.is_conclusive:
            return None
        half = self.half_width(confidence)
        return self.mean - half, self.mean + half

    def equivalence_p(self, margin: float) -> float | None:
        """The p-value of the two one-sided tests, the larger of theirs; 1 for one of 0.5 or more, where the mean itself
        is beyond the margin.

        It is the level p at which the interval of 1 - 2p just fits into the margin. Where canvases add nothing to the
        error, that is the p-value of Student's test.
        """
        if not self.is_conclusive:
            return None
        room = margin - abs(self.mean)
        if room <= 0:
            return 1.0

        def too_wide(log_p: float) -> float:
            return self.half_width(1 - 2 * math.exp(log_p)) - room

        lowest, highest = math.log(1e-15), math.log(0.5)
        if too_wide(lowest) <= 0:
            return 0.0
        return math.exp(optimize.brentq(too_wide, lowest, highest))

    def verdict(self, margin: float) -> Verdict:
        """`equivalent` goes before `worse` and `better`: a difference may be certain, and yet too small to matter."""
        interval, p = self.interval(), self.equivalence_p(margin)
        if interval is None or p is None:
            return "no conclusion"
        if p < LEVEL:
            return "equivalent"
        low, high = interval
        return "worse" if low > 0 else "better" if high < 0 else "undecided"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """What a comparison found in one figure."""

    comparison: Comparison
    metric: str
    delta: Delta


def differences(comparisons: Sequence[Comparison], results: Mapping[str, Mapping[int, Run]]) -> list[Difference]:
    """Of the headline figure of each comparison that has been run with a seed at least."""
    listed = []
    for comparison in comparisons:
        for metric, path, pairs in paired_runs(comparison, results):
            if metric not in HEADLINES:
                continue
            ratios = [found(ours, path) / found(theirs, path) for theirs, ours in pairs]
            stderr = canvas_stderr(metric, pairs) / 100 / float(np.mean(ratios))
            delta = Delta(values=tuple(np.log(ratios).tolist()), canvas_stderr=stderr)
            listed.append(Difference(comparison=comparison, metric=metric, delta=delta))
    return listed

"""What a study decides: each comparison's verdict, how its difference goes with computation, and two sentences."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pixjax.study.equivalence import LEVEL, Delta, Difference, Verdict, differences
from pixjax.study.scaling import LogLine, compute_multiple, fit_line
from pixjax.study.statistics import CONFIDENCE, FEWEST_SEEDS, FIGURES, Run, found, is_measured
from pixjax.study.study import Study

PREDICTED = (191.0, 1000.0)  # TFLOP: of the autoregressive transformer in docs/mixing.md, and a PFLOP
MODALITIES = {"bits_per_char": "text", "bits_per_dim": "images"}  # that a headline figure is of

_PHRASES: dict[Verdict, str] = {
    "worse": "worse than alone",
    "better": "better than alone",
    "equivalent": "equivalent to alone within ±{margin:g} %",
    "undecided": "undecided: neither a difference nor equivalence within ±{margin:g} % is shown",
    "no conclusion": "undecided",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison. multiple: of the computation alone that gets as far, with its interval, as `compute_multiple`."""

    difference: Difference
    teraflops: float  # of the reference
    verdict: Verdict
    multiple: tuple[float, float, float] | None

    @property
    def delta(self) -> Delta:
        return self.difference.delta


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """The comparisons of one curve, and two lines over the computation alone, in TFLOP: delta, and ln L alone."""

    name: str
    metric: str
    findings: tuple[Finding, ...]
    delta: LogLine | None
    alone: LogLine | None  # its slope is the exponent of L

    @property
    def canvas_stderr(self) -> float:
        return max(finding.delta.canvas_stderr for finding in self.findings)

    def predict(self, teraflops: float) -> tuple[float, float, float] | None:
        """The delta of a new seed, and its interval; None where no line is known, or not what canvases add to it."""
        if self.delta is None or not math.isfinite(self.canvas_stderr):
            return None
        return self.delta.predict(teraflops, self.canvas_stderr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    margin: float
    findings: tuple[Finding, ...]
    curves: tuple[Curve, ...]
    runs: int
    runs_done: int
    missing: Mapping[str, int]  # runs that each arm still lacks

    def sentence(self, metric: str) -> str:
        """The answer for one modality, by the first comparison that the study lists for its figure."""
        subject = {"text": "text is", "images": "images are"}[MODALITIES[metric]]
        first = next((each for each in self.findings if each.difference.metric == metric), None)
        if first is None:
            return f"In a model of both, {subject} undecided: no pair of runs is done."
        count, interval = len(first.delta.values), first.delta.interval()
        phrase = _PHRASES[first.verdict].format(margin=100 * self.margin)
        figure = FIGURES[metric][1]
        said = f"In a model of both, {subject} {phrase}: {percent(first.delta.mean):+.2f} % {figure}"
        at = f"{count} seed{'s' * (count != 1)} at {first.teraflops:.3g} TFLOP"
        if interval is not None:
            low, high = map(percent, interval)
            return f"{said} ({CONFIDENCE:.0%} interval {low:+.2f} to {high:+.2f} %, {at})."
        if count < FEWEST_SEEDS:
            return f"{said} ({at}, and fewer than {FEWEST_SEEDS} show nothing)."
        if not math.isfinite(first.delta.canvas_stderr):
            return f"{said} ({at}, of which what each canvas took is not known)."
        return f"{said} ({at}, which do not vary as seeds would)."

    def to_dict(self) -> dict[str, Any]:
        """JSON types; what there is none of is None."""
        return {
            "answer": [self.sentence(metric) for metric in MODALITIES],
            "margin": self.margin,
            "level": LEVEL,
            "runs": self.runs,
            "runs_done": self.runs_done,
            "missing": dict(self.missing),
            "differences": [self._of_finding(each) for each in self.findings],
            "curves": [_of_curve(each) for each in self.curves],
        }

    def _of_finding(self, finding: Finding) -> dict[str, Any]:
        delta, comparison = finding.delta, finding.difference.comparison
        stderr = delta.canvas_stderr
        return vars(comparison) | {
            "metric": finding.difference.metric,
            "teraflops": finding.teraflops,
            "deltas": list(delta.values),
            "delta": delta.mean,
            "canvas_stderr": stderr if math.isfinite(stderr) else None,
            "interval": delta.interval(),
            "equivalence_interval": delta.interval(1 - 2 * LEVEL),
            "equivalence_p": delta.equivalence_p(self.margin),
            "verdict": finding.verdict,
            "compute_multiple": finding.multiple,
        }


def _of_curve(curve: Curve) -> dict[str, Any]:
    lines = {
        name: line and dataclasses.asdict(line) | {"slope_interval": line.slope_interval}
        for name, line in (("delta", curve.delta), ("alone", curve.alone))
    }
    predicted = {f"{teraflops:g}": curve.predict(teraflops) for teraflops in PREDICTED}
    return {"name": curve.name, "metric": curve.metric, **lines, "predicted": predicted}


def percent(log_ratio: float) -> float:
    return 100 * math.expm1(log_ratio)


def decide(study: Study, results: Mapping[str, Mapping[int, Run]]) -> Decision:
    """All that follows from what is done so far."""
    listed = differences(study.comparisons, results)
    curves: list[Curve] = []
    exponents: dict[tuple[str, str], LogLine | None] = {}
    for name in dict.fromkeys(each.comparison.curve for each in listed if each.comparison.curve):
        of_name = [each for each in listed if each.comparison.curve == name]
        for metric in dict.fromkeys(each.metric for each in of_name):
            of_curve = [each for each in of_name if each.metric == metric]
            references = dict.fromkeys(each.comparison.reference for each in of_curve)
            of_metric = _exponents(study, results, metric, references)
            exponents |= {(reference, metric): line for reference, line in of_metric.items()}
            findings = tuple(_finding(study, each, of_metric[each.comparison.reference]) for each in of_curve)
            curves.append(_curve(name, metric, findings, _line_alone(study, results, metric, references)))
    missing = {
        arm.name: lacking for arm in study.arms if (lacking := len(study.seeds_of(arm)) - len(results[arm.name])) > 0
    }
    return Decision(
        margin=study.margin,
        findings=tuple(
            _finding(study, each, exponents.get((each.comparison.reference, each.metric))) for each in listed
        ),
        curves=tuple(curves),
        runs=len(study.runs),
        runs_done=sum(map(len, results.values())),
        missing=missing,
    )


def _curve(name: str, metric: str, findings: tuple[Finding, ...], alone: LogLine | None) -> Curve:
    points = [(finding.teraflops, value) for finding in findings for value in finding.delta.values]
    return Curve(name=name, metric=metric, findings=findings, delta=fit_line(*zip(*points, strict=True)), alone=alone)


def _line_alone(study: Study, results, metric: str, references: Iterable[str]) -> LogLine | None:
    path, _ = FIGURES[metric]
    points = [
        (study.teraflops[reference], math.log(value))
        for reference in references
        for run in results[reference].values()
        if is_measured(value := found(run, path))
    ]
    return fit_line(*zip(*points, strict=True))


def _exponents(study: Study, results, metric: str, references: Iterable[str]) -> dict[str, LogLine | None]:
    """The exponent around each computation, from it and its neighbours: over decades ln L is no line over ln C."""
    ordered = sorted(references, key=study.teraflops.__getitem__)
    return {
        reference: _line_alone(study, results, metric, ordered[max(place - 1, 0) : place + 2])
        for place, reference in enumerate(ordered)
    }


def _finding(study: Study, difference: Difference, exponent: LogLine | None) -> Finding:
    return Finding(
        difference=difference,
        teraflops=study.teraflops[difference.comparison.reference],
        verdict=difference.delta.verdict(study.margin),
        multiple=compute_multiple(difference.delta, exponent),
    )


def band(curve: Curve, points: int = 24) -> list[tuple[float, float, float, float]]:
    """(TFLOP, delta, low, high) from the least computation of a curve to the farthest that is predicted."""
    start = min(finding.teraflops for finding in curve.findings)
    places = np.geomspace(start, max(PREDICTED), points).tolist()
    return [(place, *predicted) for place in places if (predicted := curve.predict(place))]

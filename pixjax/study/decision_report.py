"""The part of a study's report that decides: the answer, the curves, every difference, gradients and samples."""

import io
import json
from collections.abc import Sequence

import numpy as np
from etils import epath
from PIL import Image

from pixjax.report import Chart, Gallery, Prose, Section, Series, Table
from pixjax.report.blocks import Block
from pixjax.study.decision import MODALITIES, PREDICTED, Curve, Decision, Finding, band, percent
from pixjax.study.equivalence import LEVEL
from pixjax.study.statistics import CONFIDENCE, FIGURES
from pixjax.study.study import Results, Study, run_folder

NONE = "—"
SHOWN_IMAGES = 8  # of each arm
SHOWN_LETTERS = 256  # of a text


def decision_sections(study: Study, workdir: epath.Path, results: Results, decision: Decision) -> tuple[Section, ...]:
    sections = (
        ("The answer", _answer(decision)),
        ("By computation", tuple(block for curve in decision.curves for block in _curve(curve, decision.margin))),
        ("Every difference", _differences(decision)),
        ("Gradients", _gradients(results)),
        ("Samples", _samples(study, workdir, results)),
    )
    return tuple(Section(title, blocks) for title, blocks in sections if blocks)


def _answer(decision: Decision) -> tuple[Block, ...]:
    answer = " ".join(decision.sentence(metric) for metric in MODALITIES)
    lacking = ", ".join(f"{name} {count}" for name, count in decision.missing.items())
    done = f"{decision.runs_done} of {decision.runs} runs are done." + (
        f" Still missing: {lacking}." if lacking else ""
    )
    return (Prose(f"{answer}\n\n{done}"),)


def _curve(curve: Curve, margin: float) -> tuple[Block, ...]:
    measured = sorted(curve.findings, key=lambda finding: finding.teraflops)
    intervals = [finding.delta.interval() for finding in measured]
    ends = [tuple(map(percent, interval)) if interval else (None, None) for interval in intervals]
    series = [
        Series(
            f"measured, {CONFIDENCE:.0%} interval",
            [finding.teraflops for finding in measured],
            [percent(finding.delta.mean) for finding in measured],
            low=[low for low, _ in ends],
            high=[high for _, high in ends],
            joined=False,
        )
    ]
    if rows := band(curve):
        x, y, low, high = ([row[0] for row in rows], *([percent(row[i]) for row in rows] for i in (1, 2, 3)))
        series.append(Series("a + b ln C, and where a new seed is expected", x, y, low=low, high=high))
    chart = Chart(
        f"{curve.name}: what mixing costs",
        f"TFLOP that the model of {MODALITIES[curve.metric]} alone is trained with",
        f"percent of {FIGURES[curve.metric][1]}",
        tuple(series),
        references=(("margin", 100 * margin), ("margin", -100 * margin)),
        x_log=True,
    )
    lines = [
        (name, f"{line.slope:+.4f}", "{:+.4f} to {:+.4f}".format(*line.slope_interval), str(line.count))
        if line
        else (name, NONE, NONE, NONE)
        for name, line in (("ln L alone, its exponent", curve.alone), ("delta", curve.delta))
    ]
    predicted = [
        (f"delta at {teraflops:g} TFLOP, percent", *_predicted(curve, teraflops), NONE) for teraflops in PREDICTED
    ]
    table = Table(
        ("over ln C", "", f"{CONFIDENCE:.0%} interval", "runs"),
        (*lines, *predicted),
        caption="Slopes of lines by least squares, and what the line of delta predicts for a new seed if it goes on "
        "so; none where there are too few runs, one computation, or no scatter",
    )
    return chart, table


def _predicted(curve: Curve, teraflops: float) -> tuple[str, str]:
    predicted = curve.predict(teraflops)
    if predicted is None:
        return NONE, NONE
    middle, low, high = map(percent, predicted)
    return f"{middle:+.2f}", f"{low:+.2f} to {high:+.2f}"


def _differences(decision: Decision) -> tuple[Block, ...]:
    if not decision.findings:
        return ()
    rows = tuple(_row(finding, decision.margin) for finding in decision.findings)
    columns = (
        "comparison",
        "figure",
        "TFLOP alone",
        "seeds",
        "percent",
        f"{CONFIDENCE:.0%} interval",
        "p",
        "verdict",
        "as good as alone with",
    )
    caption = (
        f"delta = ln L of both less ln L alone, paired by seed, in percent; above zero is worse. p: of the test of "
        f"equivalence within ±{100 * decision.margin:g} % (two one-sided t-tests, level {LEVEL:g}), which goes before "
        "worse and better. The last column: times the computation alone, exp(delta / exponent), and its interval. "
        "Several comparisons are made at once: only the first of each modality is the answer."
    )
    return (Table(columns, rows, caption=caption),)


def _row(finding: Finding, margin: float) -> tuple[str, ...]:
    delta, interval, p = finding.delta, finding.delta.interval(), finding.delta.equivalence_p(margin)
    multiple = NONE
    if finding.multiple:
        multiple = "{:.3g} × ({:.3g} to {:.3g})".format(*finding.multiple)
    return (
        finding.difference.comparison.name,
        FIGURES[finding.difference.metric][1],
        f"{finding.teraflops:.3g}",
        str(len(delta.values)),
        f"{percent(delta.mean):+.2f}",
        NONE if interval is None else "{:+.2f} to {:+.2f}".format(*map(percent, interval)),
        NONE if p is None else f"{p:.2g}",
        finding.verdict,
        multiple,
    )


def _gradients(results: Results) -> tuple[Block, ...]:
    tables = []
    for arm, by_seed in results.items():
        for seed, run in by_seed.items():
            if cosines := run.get("gradient_cosine"):
                rows = tuple(
                    (layer, *(f"{of[name]:+.3f}" if name in of else NONE for name in ("across", "text", "image")))
                    for layer, of in cosines.items()
                )
                columns = ("layer", "text and images", "two halves of the text", "two halves of the images")
                caption = f"{arm}, seed {seed}: cosine of gradients; halves of the same batches differ by noise alone"
                tables.append(Table(columns, rows, caption=caption))
    return tuple(tables)


def _samples(study: Study, workdir: epath.Path, results: Results) -> tuple[Block, ...]:
    """Of the first seed of each arm that is done."""
    texts: list[tuple[str, str]] = []
    canvases: list[np.ndarray] = []
    captions: list[str] = []
    for arm in study.arms:
        seed = next(iter(results[arm.name]), None)
        if seed is None:
            continue
        folder = run_folder(workdir, arm.name, seed) / "evaluation" / "samples"
        if (path := folder / "text" / "text.jsonl").exists() and (
            lines := path.read_text(encoding="utf-8").splitlines()
        ):
            texts.append((arm.name, json.loads(lines[0])["text"][:SHOWN_LETTERS]))
        images = _pictures(folder / "image" / "images")
        captions += [arm.name if i == 0 else "" for i in range(len(images))]
        canvases += images
    blocks: list[Block] = [Table(("arm", "a text"), tuple(texts))] if texts else []
    if canvases:
        blocks.append(Gallery(np.stack(canvases), tuple(captions), columns=SHOWN_IMAGES))
    return tuple(blocks)


def _pictures(folder: epath.Path) -> Sequence[np.ndarray]:
    """As many as are shown, or none: a row of the gallery is an arm."""
    paths = sorted(folder.glob("*.png"), key=str)[:SHOWN_IMAGES] if folder.exists() else []
    if len(paths) < SHOWN_IMAGES:
        return []
    return [np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")) for path in paths]

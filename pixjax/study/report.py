"""The report of `pixjax study`: every arm beside the others, what each difference costs, and what follows."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from pixjax.evaluation.evaluate import CANVAS_BITS
from pixjax.evaluation.references import Reference, image_references, ngram_standing, text_references
from pixjax.report import Chart, Data, Figure, Figures, Prose, Report, Section, Series, Table
from pixjax.report.blocks import Block
from pixjax.report.evaluation_report import bits, curve
from pixjax.study.decision import decide
from pixjax.study.decision_report import decision_sections
from pixjax.study.statistics import (
    CONFIDENCE,
    FEWEST_SEEDS,
    FIGURES,
    RelativeChange,
    conclusion,
    found,
    mean_and_interval,
)
from pixjax.study.study import Results, Study, run_folder

MOST_FIGURES = 8  # more say nothing at a glance

# What is shown of each arm: the path into its metrics, and how the column is headed.
_COLUMNS = (
    *(
        FIGURES[name]
        for name in (
            "bits_per_char",
            "whole_bits_per_char",
            "network_bits_per_char",
            "bits_per_dim",
            "network_bits_per_dim",
        )
    ),
    (("text", "samples", "valid_words"), "valid words"),
    (("text", "samples", "js_divergence/3"), "3-gram divergence"),
    (("image", "samples", "swd/mean"), "sliced Wasserstein"),
    (("image", "samples", "spectrum"), "spectrum, dB"),
    (("tags", "accuracy"), "tags right"),
)
_CURVES = ("x_mse/text", "x_mse/image", "token_accuracy/text")


def study_report(
    study: Study,
    workdir: epath.Path,
    results: Results,
    changes: Sequence[RelativeChange],
    baselines: Sequence[Reference],
) -> Report:
    decision = decide(study, results) if study.margin else None
    runs = [run for by_seed in results.values() for run in by_seed.values()]
    ngrams: dict[str, float] = next((run["references"]["ngrams"] for run in runs if "references" in run), {})
    sections = [
        *(decision_sections(study, workdir, results, decision) if decision else ()),
        Section("What follows", _conclusions(changes, study)),
        Section("The arms", _arms(study, results)),
        Section("Beside others", _standings(study, results, ngrams, baselines)),
        Section("While they trained", _curves(study, workdir)),
        Section(
            "How it was made",
            (
                Data("Base configuration", study.base.to_dict()),
                Data("Arms", {arm.name: {**arm.changes, "steps": study.steps[arm.name]} for arm in study.arms}),
                Data("All figures", {name: _without_canvases(by_seed) for name, by_seed in results.items()}),
            ),
        ),
    ]
    model, training = study.base.model, study.base.training
    return Report(
        title=study.title,
        subtitle=f"{len(study.arms)} arms, seeds {', '.join(map(str, study.seeds))}, {model.variant}/{model.patch_size}"
        f" at {model.canvas_size} pixels, length 1 is {training.steps:,} steps of {study.base.data.batch_size},"
        f" measured on {_counts(runs)}",
        sections=tuple(sections),
    )


def _without_canvases(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The bits of every single canvas are in `results.json`, and too many for a page."""
    return {str(seed): {k: v for k, v in run.items() if k != CANVAS_BITS} for seed, run in by_seed.items()}


def _counts(runs: Sequence[Mapping[str, Any]]) -> str:
    counts = {
        name: f"{run[name]['likelihood']['canvases']:,} {name} canvases"
        for name in ("text", "image")
        for run in runs
        if "likelihood" in run.get(name, {})
    }
    return " and ".join(counts.values()) or "nothing held out"


def _conclusions(changes: Sequence[RelativeChange], study: Study) -> tuple[Block, ...]:
    figures = tuple(
        Figure(
            f"{change.comparison}: {FIGURES[change.metric][1]}",
            f"{change.percent:+.1f} %",
            f"{change.low:+.1f} to {change.high:+.1f} %" if math.isfinite(change.low) else "no interval",
        )
        for change in changes
    )
    rows = tuple(
        (
            change.comparison,
            FIGURES[change.metric][1],
            f"{change.arm} against {change.reference}",
            f"{change.percent:+.2f}",
            f"{change.low:+.2f} to {change.high:+.2f}" if math.isfinite(change.low) else "none",
            "yes" if change.is_certain else "no",
        )
        for change in changes
    )
    return (
        *((Figures(figures),) if len(figures) <= MOST_FIGURES else ()),
        Prose(
            "\n\n".join(conclusion(change) for change in changes) or "The study compares nothing: give it comparisons."
        ),
        Table(
            ("comparison", "figure", "what against what", "percent", f"{CONFIDENCE:.0%} interval", "certain"),
            rows,
            caption="Above zero is worse. Paired by seed and by canvas; the interval is Student's over seeds, widened "
            f"by the choice of canvases, and none with fewer than {FEWEST_SEEDS} seeds. It holds for this model, this "
            f"data and these {len(study.seeds)} seeds, and several comparisons are made at once.",
        ),
    )


def _arms(study: Study, results: Results) -> tuple[Block, ...]:
    rows = []
    for arm in study.arms:
        if not results[arm.name]:
            continue
        config = study.config(arm, study.seeds[0], epath.Path("."))
        canvases = config.training.steps * config.data.batch_size
        cells = [arm.name, f"{canvases:,}", f"{study.teraflops[arm.name]:.3g}"]
        for path, _ in _COLUMNS:
            values = [v for run in results[arm.name].values() if (v := found(run, path)) is not None]
            mean, low, high = mean_and_interval(values) if values else (math.nan, math.nan, math.nan)
            spread = f" ± {(high - low) / 2:.2g}" if math.isfinite(high - low) else ""
            cells.append(f"{mean:.4g}{spread}" if values else "—")
        rows.append(tuple(cells))
    about = "\n\n".join(f"{arm.name}: {arm.about}" for arm in study.arms if arm.about)
    columns = ("arm", "canvases seen", "TFLOP", *(heading for _, heading in _COLUMNS))
    caption = f"Mean over seeds ± half of the {CONFIDENCE:.0%} interval over seeds alone, from three of them on"
    quality = (found(run, ("image", "samples")) for runs in results.values() for run in runs.values())
    if floors := [each for each in quality if each and "held_out_spread" in each]:
        mean, spread = (floors[0][name]["swd/mean"] for name in ("held_out", "held_out_spread"))
        caption += f"; sliced Wasserstein of as many held-out images: {mean:.4g} ± {spread:.2g} between draws"
    table = Table(columns, tuple(rows), caption=caption)
    return (Prose(about), table) if about else (table,)


def _standings(
    study: Study, results: Results, ngrams: dict[str, float], baselines: Sequence[Reference]
) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for metric, references in (
        ("bits_per_char", text_references(study.base, ngrams, baselines)),
        ("bits_per_dim", image_references()),
    ):
        rows = [(r.value, (r.name, bits(r.value), r.note)) for r in references]
        mine = []
        for arm in study.arms:
            values = [run[metric] for run in results[arm.name].values() if metric in run]
            if values:
                mean = sum(values) / len(values)
                note = f"mean of {len(values)} seed(s), upper bound"
                if metric == "bits_per_char" and ngrams:
                    note += f", {ngram_standing(mean, ngrams)}"
                mine.append((mean, (arm.name, bits(mean), note)))
        if mine:
            rows = sorted([*rows, *mine], key=lambda row: row[0])
            emphasised = tuple(i for i, (_, row) in enumerate(rows) if row in [m for _, m in mine])
            table = tuple(row for _, row in rows)
            blocks.append(Table(("", FIGURES[metric][1], "what it is"), table, emphasised=emphasised))
    return tuple(blocks)


def _curves(study: Study, workdir: epath.Path) -> tuple[Block, ...]:
    charts = []
    for name in _CURVES:
        series = []
        for arm in study.arms:
            if arm.stage:  # more lines than those of the first stage are not told apart
                continue
            steps, values = curve(run_folder(workdir, arm.name, study.seeds[0]), name)
            if len(steps) > 1:
                series.append(Series(arm.name, steps, values))
        if series:
            title = f"{name}, seed {study.seeds[0]}"
            charts.append(Chart(title, "step", name, tuple(series), y_log=not name.startswith("token_accuracy")))
    return tuple(charts)


def results_json(study: Study, results: Results, changes: Sequence[RelativeChange]) -> str:
    """Every figure of every run, the relative changes, and what the study decides; an interval that there is none of is
    null.
    """
    listed = [
        {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in vars(change).items()}
        for change in changes
    ]
    decided = {"decision": decide(study, results).to_dict()} if study.margin else {}
    return json.dumps({**decided, "taxes": listed, "teraflops": study.teraflops, "arms": results}, indent=2) + "\n"

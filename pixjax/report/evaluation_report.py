"""The report of `pixjax evaluate`: its measurements as a page to read."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, Modality
from pixjax.evaluation.evaluate import CANVAS_BITS
from pixjax.evaluation.held_out import HeldOutData
from pixjax.evaluation.references import Reference, image_references, ngram_standing, text_references
from pixjax.report import (
    Chart,
    Data,
    Figure,
    Figures,
    Prose,
    Report,
    Section,
    Series,
    Table,
)
from pixjax.report.blocks import Block
from pixjax.report.sample_sections import image_section, inspector, tag_section, text_section, trajectories
from pixjax.sampling.generate import Generated
from pixjax.training.reporter import METRICS_FILE

_CURVES = ("loss/text", "loss/image", "x_mse/text", "x_mse/image", "token_accuracy/text", "gradient_norm")
_MOST_POINTS = 500


def evaluation_report(
    workdir: epath.Path,
    denoiser: Denoiser,
    metrics: dict[str, Any],
    samples: dict[str, Generated],
    data: HeldOutData,
    *,
    baselines: Sequence[Reference] = (),
    environment: dict[str, Any] | None = None,
) -> Report:
    """Everything in `metrics.json` that a person would look for, and the samples themselves."""
    sections = [Section("Summary", _summary(denoiser, metrics, baselines))]
    for title, blocks in (
        ("Likelihood", (*_price_of_parallelism(metrics), *_likelihood(metrics))),
        ("Denoising", _denoising(metrics)),
        ("Text samples", text_section(denoiser.codec, samples, metrics)),
        ("Image samples", image_section(samples, data, metrics)),
        ("What it makes when it may choose", tag_section(denoiser.codec, samples, metrics)),
    ):
        if blocks:
            sections.append(Section(title, blocks))
    if samples:
        sections.append(Section("From noise to canvas", trajectories(samples)))
    if samples:
        sections.append(Section("Canvas inspector", (inspector(denoiser.codec, samples),)))
    if curves := training_curves(workdir):
        sections.append(Section("Training", curves))
    sections.append(Section("How it was made", _provenance(denoiser, metrics, environment or {})))
    name = denoiser.config.model
    return Report(
        title=f"pixjax: {workdir.name}",
        subtitle=f"step {denoiser.step:,}, {name.variant}/{name.patch_size}, {name.canvas_size} pixels, "
        f"tagging {name.tagging}, text as {denoiser.codec.tokenizer} in {denoiser.codec.code}",
        sections=tuple(sections),
    )


def bits(value: float, stderr: float | None = None) -> str:
    return f"{value:.3f}" + (f" ± {stderr:.3f}" if stderr is not None else "")


def _summary(denoiser: Denoiser, metrics: dict[str, Any], baselines: Sequence[Reference]) -> tuple[Block, ...]:
    figures: list[Figure] = []
    blocks: list[Block] = []
    ngrams = metrics.get("references", {}).get("ngrams", {})
    for key, name in (
        ("bits_per_char", "bits per character"),
        ("bits_per_token", "bits per token"),
        ("bits_per_dim", "bits per dimension"),
    ):
        if key in metrics and not (key == "bits_per_token" and metrics[key] == metrics.get("bits_per_char")):
            detail = "upper bound on held-out canvases"
            if key != "bits_per_dim" and "blocks" in metrics:
                detail = _of_order(metrics["blocks"])
            if key == "bits_per_char" and ngrams:
                detail += f", {ngram_standing(metrics[key], ngrams)}"
            figures.append(Figure(name, bits(metrics[key], metrics[f"{key}_stderr"]), detail))
    text, image = metrics.get("text", {}).get("samples", {}), metrics.get("image", {}).get("samples", {})
    if "valid_words" in text:
        figures.append(
            Figure("valid words", f"{text['valid_words']:.0%}", f"held-out text: {text['held_out/valid_words']:.0%}")
        )
    if "copied_windows" in text:
        figures.append(
            Figure("copied text", f"{text['copied_windows']:.1%}", "of runs of 50 characters are in the training text")
        )
    if "swd/mean" in image:
        floor, spread = (image[name]["swd/mean"] for name in ("held_out", "held_out_spread"))
        detail = f"as many held-out images: {floor:.1f} ± {spread:.1f}"
        figures.append(Figure("sliced Wasserstein", f"{image['swd/mean']:.1f}", detail))
    if "accuracy" in metrics.get("tags", {}):
        figures.append(
            Figure("tags", f"{metrics['tags']['accuracy']:.0%}", "of canvases are, by their colours, what they say")
        )
    if figures:
        blocks.append(Figures(tuple(figures)))
    if metrics["notes"]:
        blocks.append(Prose("Not measured, or measured otherwise:\n\n" + "\n\n".join(metrics["notes"])))
    if "bits_per_char" in metrics:
        others = text_references(denoiser.config, ngrams, baselines)
        blocks.append(_standing("bits per character", "this model", metrics, "bits_per_char", others))
    if "image" in metrics and "likelihood" in metrics["image"]:
        blocks.append(_standing("bits per dimension", "this model", metrics, "bits_per_dim", image_references()))
    return tuple(blocks)


def _standing(caption: str, name: str, metrics: dict[str, Any], key: str, others: Sequence[Reference]) -> Table:
    """This model among the references, the best first."""
    rows = [(r.value, (r.name, bits(r.value), r.note)) for r in others]
    mine = (name, bits(metrics[key], metrics[f"{key}_stderr"]), "upper bound, held-out canvases")
    rows = sorted([*rows, (metrics[key], mine)], key=lambda row: row[0])
    return Table(
        columns=("", caption, "what it is"),
        rows=tuple(row for _, row in rows),
        caption=f"{caption}, lower is better",
        emphasised=(next(i for i, (_, row) in enumerate(rows) if row is mine),),
    )


def _of_order(name: str) -> str:
    known = {"1": "letter by letter, exact, of held-out canvases", "whole": "all at once, upper bound"}
    return known.get(name, f"blocks of {name} cells, upper bound on held-out canvases")


def _price_of_parallelism(metrics: dict[str, Any]) -> tuple[Block, ...]:
    """Bits of text by order, against what sampling in it costs."""
    orders = metrics.get("text", {}).get("by_blocks", {})
    if not orders:
        return ()
    key = "bits_per_char" if all("bits_per_char" in order for order in orders.values()) else "bits_per_token"
    rows = sorted(orders.items(), key=lambda row: row[1]["passes_per_token"])
    passes = [order["passes_per_token"] for _, order in rows]
    series = Series("text", passes, [order[key] for _, order in rows])
    unit = key.replace("_", " ")
    table = Table(
        ("decided", unit, "passes a token", ""),
        tuple(
            (name, bits(order[key], order[f"{key}_stderr"]), f"{order['passes_per_token']:.3g}", _of_order(name))
            for name, order in rows
        ),
        caption="The price of parallelism: held-out text by the order in which its cells are decided",
    )
    chart = Chart("text: the price of parallelism", "network passes a token, one after another", unit, (series,))
    return (chart, table) if len(rows) > 1 else (table,)


def _likelihood(metrics: dict[str, Any]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for modality in Modality:
        found = metrics.get(str(modality), {}).get("likelihood")
        if not found:
            continue
        unit = found["unit"].replace("_", " ")
        curves = _up_to(found)
        series = tuple(
            Series(label, curves["log_snr"], curves[key])
            for key, label in (
                ("network", "network"),
                ("mixed", "network, mixed with what is known without it"),
                ("matched_filter", "matched filter, letter by letter"),
                ("noisy_canvas", "the noisy canvas itself"),
            )
            if key in curves
        )
        blocks.append(
            Chart(f"{modality}: where the bits are", "log-SNR", f"{unit} per nat of log-SNR", series, y_min=0.0)
        )
        ends = found["endpoints"]
        labels = (("network", "network alone up to here"), ("mixed", "mixed up to here"))
        blocks.append(
            Chart(
                f"{modality}: the bound by where the path ends, on validation canvases",
                "log-SNR of the endpoint",
                unit,
                tuple(Series(label, ends["log_snr"], ends[key]) for key, label in labels if key in ends),
                y_log=True,
            )
        )
        rows = []
        for key, label in (
            ("network", "network alone"),
            ("mixed", f"network, mixed with the {'matched filter' if modality == TEXT else 'noisy canvas'}"),
        ):
            if key in found:
                row = found[key]
                shares = (f"{row[term]:.1f}" for term in ("kl", "diffusion", "reconstruction"))
                figure = bits(row[found["unit"]], row[f"{found['unit']}_stderr"])
                rows.append((label, figure, f"{row['log_snr_max']:g}", *shares))
        blocks.append(
            Table(
                ("x̂ from", unit, "endpoint (log-SNR)", "prior, bits a canvas", "diffusion", "reconstruction"),
                tuple(rows),
                caption=f"{modality}: {found['canvases']:,} test canvases, {found['num_times']} times each; the "
                "endpoint and the mix were chosen on validation canvases",
            )
        )
    return tuple(blocks)


def _up_to(likelihood: dict[str, Any]) -> dict[str, list[Any]]:
    """The contributions, each as far as its bound reaches: beyond, the network's error is multiplied out of bounds."""
    curves = likelihood["contributions"]
    above = {
        name: np.array(curves["log_snr"]) > likelihood[name]["log_snr_max"] for name in curves if name in likelihood
    }
    return {
        name: [None if hidden else value for value, hidden in zip(values, above[name], strict=True)]
        if name in above
        else values
        for name, values in curves.items()
    }


def _denoising(metrics: dict[str, Any]) -> tuple[Block, ...]:
    charts = []
    for quantity, title, y_label, log in (
        ("x_mse", "Error of the clean prediction", "mean squared error", True),
        ("token_accuracy", "Tokens read correctly from the clean prediction", "share of tokens", False),
        ("exact_canvases", "Canvases with every token correct", "share of canvases", False),
    ):
        series = []
        for name in map(str, Modality):
            for label, curves in metrics.get(name, {}).get("denoising", {}).items():
                if f"{quantity}/{name}" in curves:
                    series.append(Series(f"{name}, {label}", curves["t"], curves[f"{quantity}/{name}"]))
        if series:
            charts.append(
                Chart(title, "t: 0 is noise, 1 is data", y_label, tuple(series), y_log=log, y_min=None if log else 0.0)
            )
    return tuple(charts)


def training_curves(workdir: epath.Path) -> tuple[Chart, ...]:
    """The metrics of a run over its steps."""
    charts = []
    for name in _CURVES:
        steps, values = curve(workdir, name)
        if len(steps) > 1:
            log = not name.startswith("token_accuracy")
            charts.append(Chart(name, "step", name, (Series(name, steps, values),), y_log=log))
    return tuple(charts)


def curve(workdir: epath.Path, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of a metric in the log of a run, thinned to what a chart can show."""
    path = workdir / METRICS_FILE
    points = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            break  # a run that goes on may be in the middle of a line
        if row.get(name) is not None:
            points.append((row["step"], row[name]))
    points = points[:: max(1, -(-len(points) // _MOST_POINTS))]
    return [step for step, _ in points], [value for _, value in points]


def _provenance(denoiser: Denoiser, metrics: dict[str, Any], environment: dict[str, Any]) -> tuple[Block, ...]:
    seconds = tuple((name, f"{value:.1f}") for name, value in metrics["seconds"].items())
    share = metrics.get("forward_share")
    caption = f"{metrics['evaluations']:,} canvases denoised" + (
        f"; a bare forward pass of as many takes {share:.0%} of the time before text and image metrics" if share else ""
    )
    return (
        Table(("part", "seconds"), seconds, caption=caption),
        Data("Configuration", denoiser.config.to_dict()),
        Data("Environment", environment),
        Data("All figures", {k: v for k, v in metrics.items() if k not in ("seconds", "notes", CANVAS_BITS)}),
    )

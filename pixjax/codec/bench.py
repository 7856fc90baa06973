"""`pixjax codec bench`: every code of a vocabulary measured, as a table, as JSON, and as a plot."""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pixjax.codec.bulk import BulkPainter
from pixjax.codec.layout import cell_pixels
from pixjax.codec.noise import (
    ErrorRate,
    Threshold,
    measure_threshold,
    shannon_sigma,
    soft_and_hard_errors,
    zipf_log_prior,
)
from pixjax.codec.radix import RadixCode, smallest_levels
from pixjax.errors import InputError

VOCABULARIES = (27, 256, 8_000, 32_000, 50_257, 151_936)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A code and its price: `min_distance` is the smallest distance between two colours, on the scale [-1, 1]."""

    name: str
    code: RadixCode
    tokens_per_canvas: int
    min_distance: float


def catalogue(vocab_size: int, canvas_size: int = 64, marker_size: int = 1) -> tuple[Entry, ...]:
    """`base256`, then for each number of levels that some number of pixels needs the shortest such code.

    From one pixel a token, with as many levels as it takes, to two levels (analog bits), with as many pixels.
    """
    available = canvas_size**2 - marker_size**2
    entries = [_entry("base256", RadixCode(vocab_size=vocab_size, levels=256, pixels=1), available)]
    pixels, levels = 0, 257
    while levels > 2:
        pixels += 1
        fewer = smallest_levels(vocab_size, pixels)
        if fewer < levels and fewer <= 256:
            code = RadixCode(vocab_size=vocab_size, levels=fewer, pixels=pixels)
            entries.append(_entry(f"radix:{fewer}:{pixels}", code, available))
            levels = fewer
    return tuple(entries)


def _entry(name: str, code: RadixCode, available: int) -> Entry:
    # Two ids that differ in the least significant digit by one level are the nearest, and there always are some;
    # in base256 nothing is nearer either.
    values = code.level_values[: code.vocab_size].astype(int)
    return Entry(
        name=name,
        code=code,
        tokens_per_canvas=available // code.pixels,
        min_distance=float(np.diff(values).min() / 127.5),
    )


def markdown_table(vocabularies: tuple[int, ...] = VOCABULARIES) -> str:
    """The catalogue as it stands in the documentation."""
    lines = [
        "| symbols | code | levels | pixels a token | tokens on a 64×64 canvas | smallest distance |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for vocab_size in vocabularies:
        for entry in catalogue(vocab_size):
            code = entry.code
            lines.append(
                f"| {vocab_size:,} | `{entry.name}` | {code.levels} | {code.pixels} "
                f"| {entry.tokens_per_canvas:,} | {entry.min_distance:.4f} |"
            )
    return "\n".join(lines)


RATES = (0.01, 0.0001)
_SMALLEST, _LARGEST = 2, 1 << 22
_CANVAS, _BATCH = 64, 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One code. σ on the scale [-1, 1]; throughputs relative to copying the same canvas bytes."""

    symbols: int
    code: str
    tokens_per_canvas: int
    min_distance: float
    sigma: dict[str, Threshold]  # measured, by error rate
    sigma_analytic: dict[str, float]
    shannon_gap_db: float  # between σ at 1 % and the σ that the best code of this rate and power could bear
    soft_error: float  # most probable id under a Zipf prior, at σ of 1 %
    hard_error: float  # nearest colour, for the same ids and noise
    encode_over_copy: float
    decode_over_copy: float


def measure(entry: Entry, samples: int, seed: int) -> Result:
    """Everything about one code."""
    code = entry.code
    error_rate = ErrorRate(code)
    analytic = {f"{rate:g}": error_rate.sigma_at(rate) for rate in RATES}
    measured = {f"{rate:g}": measure_threshold(code, rate, analytic[f"{rate:g}"], samples, seed) for rate in RATES}
    at_one_percent = analytic[f"{RATES[0]:g}"]
    prior = zipf_log_prior(code.vocab_size)
    soft, hard = soft_and_hard_errors(code, at_one_percent, prior, samples // 4, seed)
    encode, decode = throughput(entry, seed)
    return Result(
        symbols=code.vocab_size,
        code=entry.name,
        tokens_per_canvas=entry.tokens_per_canvas,
        min_distance=entry.min_distance,
        sigma=measured,
        sigma_analytic=analytic,
        shannon_gap_db=20 * math.log10(shannon_sigma(code) / at_one_percent),
        soft_error=soft,
        hard_error=hard,
        encode_over_copy=encode,
        decode_over_copy=decode,
    )


def throughput(entry: Entry, seed: int) -> tuple[float, float]:
    """Speeds of painting ids and of reading them back, each as a share of the speed of `canvases.copy()`."""
    cells = cell_pixels(
        layout="raster", canvas_size=_CANVAS, patch=(1, _CANVAS), pixels=entry.code.pixels, marker_size=1
    )
    painter = BulkPainter(entry.code, cells, _CANVAS, patch=(1, _CANVAS))
    ids = np.random.default_rng(seed).integers(0, entry.code.vocab_size, (_BATCH, len(cells)), dtype=np.int32)
    canvases = painter.paint(ids)
    copy = fastest(canvases.copy)
    return copy / fastest(lambda: painter.paint(ids)), copy / fastest(lambda: painter.nearest_ids(canvases))


def fastest(work: Callable[[], Any], repeats: int = 5) -> float:
    """CPU seconds of the fastest of a few runs: what other processes on the machine disturb least."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def run_bench(vocab_sizes: Sequence[int] | None, out: Path, samples: int, seed: int) -> int:
    """Measures, prints a table, and writes `bench.json` and `bench.png` into `out`."""
    vocab_sizes = vocab_sizes or VOCABULARIES
    for vocab_size in vocab_sizes:
        if not _SMALLEST <= vocab_size <= _LARGEST:
            raise InputError(f"--vocab {vocab_size} is out of range: choose {_SMALLEST} to {_LARGEST:,}")
    if samples < 10_000:
        raise InputError(f"--samples {samples} is too few to see one error in 10,000: choose 10000 or more")
    entries = [entry for vocab_size in vocab_sizes for entry in catalogue(vocab_size)]
    results = []
    for number, entry in enumerate(entries, 1):
        if sys.stderr.isatty():
            print(f"\r{number}/{len(entries)} {entry.code.vocab_size:,} {entry.name:<14}", end="", file=sys.stderr)
        results.append(measure(entry, samples, seed))
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)

    out.mkdir(parents=True, exist_ok=True)
    report = {"samples": samples, "seed": seed, "codes": [dataclasses.asdict(result) for result in results]}
    (out / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print_table(results)
    plot(results, out / "bench.png")
    print(f"{out / 'bench.json'}\n{out / 'bench.png'}")
    return 0


def print_table(results: Sequence[Result]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        caption="σ: noise on the scale [-1, 1] at 1 % and 0.01 % symbol errors, \\[analytic]; speeds: 1 is a copy"
    )
    for title in ("symbols", "code", "tokens", "σ 1 %", "σ 0.01 %", "to Shannon", "soft / hard", "encode", "decode"):
        table.add_column(title, justify="right", no_wrap=True)
    for i, r in enumerate(results):
        table.add_row(
            f"{r.symbols:,}",
            r.code,
            f"{r.tokens_per_canvas:,}",
            *(_cell(r.sigma[f"{rate:g}"], r.sigma_analytic[f"{rate:g}"]) for rate in RATES),
            f"{r.shannon_gap_db:.1f} dB",
            f"{r.soft_error:.2%} / {r.hard_error:.2%}",
            f"{r.encode_over_copy:.2f}",
            f"{r.decode_over_copy:.2f}",
            end_section=i + 1 < len(results) and results[i + 1].symbols != r.symbols,
        )
    # A pipe has no width: the table is then as wide as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(table)


def _cell(measured: Threshold, analytic: float) -> str:
    spread = (measured.high - measured.low) / 2
    return f"{measured.sigma:.3g} ± {spread:.1g} [{analytic:.3g}]".replace("[", "\\[")


def plot(results: Sequence[Result], path: Path) -> None:
    """Tokens on a canvas against the noise they survive; the open marks are Shannon's limit of the same rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    labelled: set[str] = set()
    for symbols in dict.fromkeys(result.symbols for result in results):
        some = [r for r in results if r.symbols == symbols and r.code != "base256"]
        key = f"{RATES[0]:g}"
        sigma = np.array([r.sigma[key].sigma for r in some])
        tokens = [r.tokens_per_canvas for r in some]
        (line,) = axes.plot(sigma, tokens, "o-", label=f"{symbols:,} symbols")
        for r, s in zip(some, sigma, strict=True):
            if r.code in labelled:  # the same code for another vocabulary lies all but there
                continue
            labelled.add(r.code)
            axes.annotate(r.code[6:], (s, r.tokens_per_canvas), (3, 4), textcoords="offset points", fontsize=7)
        limit = sigma * 10 ** (np.array([r.shannon_gap_db for r in some]) / 20)
        axes.plot(limit, tokens, "o:", mfc="none", color=line.get_color(), alpha=0.5)
        base = [r for r in results if r.symbols == symbols and r.code == "base256"]
        axes.plot([r.sigma[key].sigma for r in base], [r.tokens_per_canvas for r in base], "s", color=line.get_color())
    axes.set(xscale="log", yscale="log", xlabel="σ at 1 % symbol errors, on the scale [-1, 1]")
    axes.set(
        ylabel="tokens on a 64×64 canvas", title="Filled: radix:LEVELS:PIXELS; squares: base256; open: Shannon's limit"
    )
    axes.grid(which="both", alpha=0.2)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)

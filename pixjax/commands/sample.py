"""`pixjax sample`: canvases of a trained model, each read or shown by its tag."""

import argparse
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pixjax.sampling.request import GROUPS, SampleRequest, options

HELP = "make canvases with a trained model, and read or show each by its tag"

_EXCERPTS, _EXCERPT = 4, 160  # texts that are printed, and characters of each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run, or pretrained:NAME")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets text.jsonl, canvases/, images/ and grid.png")
    groups = {"": parser} | {name: parser.add_argument_group(name, about) for name, about in GROUPS.items()}
    for option in filter(lambda option: option.flag, options()):
        asked = option.asked
        how: dict[str, Any] = {"choices": asked.choices} if asked.choices and asked.metavar is None else {}
        how |= {"nargs": "?", "const": asked.alone} if asked.alone else {}
        example = f', as in "{asked.example}"' if asked.example else ""
        groups[asked.group].add_argument(
            option.flag,
            dest=option.name,
            default=option.default,
            type=option.parse,
            metavar=asked.metavar,
            help=asked.help + example,
            **how,
        )
    parser.add_argument(
        "--show", type=int, metavar="N", help="print the first N texts whole; the beginnings of four unless given"
    )
    parser.add_argument("--ema", default="", metavar="DECAY", help="which average, or none; the first unless given")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument(
        "--contact-sheet",
        action="store_true",
        help="also contact_sheet.png: training data, noisy, and denoised",
    )


def run(args: argparse.Namespace) -> None:
    from pixjax.errors import InputError
    from pixjax.paths import local_path
    from pixjax.runtime import set_up
    from pixjax.sampling.sample import prepare, run_request

    request = SampleRequest(**{option.name: getattr(args, option.name) for option in options() if option.flag})
    if args.show is not None and args.show < 0:
        raise InputError(f"--show={args.show} has to be 0 or more texts")
    set_up()
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from pixjax.checkpoints.load import load
    from pixjax.codec import IMAGE, TEXT
    from pixjax.sampling.pictures import contact_sheet
    from pixjax.training.stop_signal import StopSignal

    out = local_path(args.out, "--out")
    denoiser = load(args.workdir, ema=args.ema, step=args.checkpoint)
    prepared = prepare(denoiser, request)
    if args.contact_sheet:
        from pixjax.data import make_batches

        with make_batches(denoiser.config, denoiser.codec) as batches:  # its sources may have been moved since
            batch = next(batches)
    total = args.num * args.pages
    console = Console(stderr=True)
    with (
        StopSignal("writing what is made so far") as stop,
        Progress(console=console, disable=not console.is_terminal, transient=True) as bar,
    ):
        out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
        bar_task = bar.add_task("canvases", total=total)
        samples = run_request(
            denoiser,
            prepared,
            stop=lambda: bool(stop.received),
            progress=lambda count: bar.update(bar_task, completed=count),
        )
    samples.save(out)
    if stop.received:
        print(f"stopped by {stop.received} after {samples.made} of {total} canvases: the same command makes them all")
        return
    for line in shown_texts(samples.rows, args.show, out):
        print(line)
    images = int(np.sum(samples.modality == IMAGE))
    print(f"{total} canvases: {len(samples.rows)} text, {images} images; grid: {out / 'grid.png'}")
    if samples.trajectory:
        print(f"trajectory: {out / 'trajectory.png'} and {out / 'trajectory.gif'}")
    if args.contact_sheet:
        chosen = np.concatenate([np.flatnonzero(batch["modality"] == m)[:3] for m in (TEXT, IMAGE)])
        contact_sheet(denoiser, batch["canvas"][chosen], batch["modality"][chosen]).save(out / "contact_sheet.png")
        print(f"contact sheet: {out / 'contact_sheet.png'}")


def shown_texts(rows: Sequence[Mapping[str, Any]], whole: int | None, folder: pathlib.Path) -> Iterator[str]:
    """The lines that a person reads of the texts in `text.jsonl`."""
    shown = rows[: _EXCERPTS if whole is None else whole]
    cut = len(shown) < len(rows)
    for row in shown:
        text = row["text"]
        if whole is None and len(text) > _EXCERPT:
            text, cut = f"{text[:_EXCERPT]}…", True
        yield f"--- text canvas {row['index']}, margin {row['margin']:.2f}\n{text}"
    if cut:
        yield f"--- all {len(rows)} text(s), whole: {folder / 'text.jsonl'}"

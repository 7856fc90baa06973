"""`pixjax sample`."""

import argparse
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HELP = "make canvases with a trained model, and read or show each by its tag"

_EXCERPTS, _EXCERPT = 4, 160  # texts that are printed, and characters of each

_ASKED = (  # flags that are fields of a `SampleRequest` as they are
    "modality",
    "num",
    "pages",
    "seed",
    "label",
    "prompt",
    "prompt_image",
    "infill",
    "blank",
    "infill_image",
    "mask",
    "trajectory",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run, or pretrained:NAME")
    parser.add_argument(
        "--modality", choices=("text", "image", "any"), default="any", help="any: each canvas's tag decides"
    )
    parser.add_argument("--num", type=int, default=16, metavar="N", help="how many canvases")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets text.jsonl, canvases/, images/ and grid.png")
    parser.add_argument(
        "--show", type=int, metavar="N", help="print the first N texts whole; the beginnings of four unless given"
    )
    parser.add_argument("--seed", type=int, default=0, help="sample i depends on the seed and i alone")
    parser.add_argument("--prompt", metavar="TEXT", help="what to answer, or to go on from (a model with context)")
    parser.add_argument("--prompt-image", metavar="FILE", help="a picture to answer; with --prompt, it comes first")
    parser.add_argument(
        "--pages", type=int, default=1, metavar="N", help="of each text, every page conditioned on the one before"
    )
    parser.add_argument("--label", default="-1", help="class of a natural image, by name or number; -1: none")
    parser.add_argument("--ema", default="", metavar="DECAY", help="which average, or none; the first unless given")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument(
        "--contact-sheet",
        action="store_true",
        help="also contact_sheet.png: training data, noisy, and denoised",
    )
    parser.add_argument(
        "--trajectory",
        nargs="?",
        const="even",
        metavar="STEPS",
        help="also trajectory.png and .gif: the clean prediction at these steps, as in 0,10,49; eight without a value",
    )
    _add_sampling(
        parser.add_argument_group("how", "each is the config's unless given: pixjax/config.py, SamplingConfig")
    )
    _add_infill(parser.add_argument_group("filling in", "what is given comes back exactly, the rest is generated"))


def _add_sampling(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--sampler", metavar="NAME", help="heun, euler, dpm++ or stochastic")
    group.add_argument("--steps", type=int, metavar="N")
    group.add_argument(
        "--grid",
        metavar="GRID",
        help="of times: uniform, log_snr[:MIN:MAX] or edm[:SIGMA_MIN:SIGMA_MAX[:RHO]]; TEXT,IMAGE for one each",
    )
    group.add_argument("--blocks", metavar="N", help="cells of text decided together: 1 is letter by letter, or whole")
    group.add_argument("--temperature", type=float, metavar="T", help="letter by letter: 0 is always the likeliest")
    group.add_argument("--top-p", type=float, metavar="SHARE", help="letter by letter: of the likeliest ids alone")
    group.add_argument("--churn", type=float, metavar="SHARE", help="of noise drawn anew by the stochastic sampler")
    group.add_argument("--asymmetry", type=float, metavar="STEPS", help="that canvases run ahead of the time told")
    group.add_argument("--guidance", type=float, metavar="SCALE", help="toward the prompt, the label or the modality")
    group.add_argument("--guidance-interval", metavar="FROM,TO", help="times between which guidance holds")
    group.add_argument("--project", type=float, metavar="T", help="from this time draw text toward legal colours")
    group.add_argument("--project-strength", type=float, metavar="SHARE", help="how far: 1 is all the way")


def _add_infill(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--infill",
        metavar="TEXT",
        help='"The ____ sat": each _ is one unknown token, and so is all after the end. For a text with underscores '
        "of its own, let another character stand for what is unknown: --blank='#'",
    )
    group.add_argument("--blank", default="_", metavar="CHARACTER", help="that stands for an unknown token in --infill")
    group.add_argument("--infill-image", metavar="FILE", help="an image, of which --mask says what is to be made anew")
    group.add_argument("--mask", metavar="FILE", help="an image of the same size: white is made anew, black is kept")
    group.add_argument("--repeats", type=int, metavar="N", help="walk each stretch so often (RePaint's resampling)")
    group.add_argument("--stretch", type=int, metavar="N", help="steps of a stretch")


def run(args: argparse.Namespace) -> None:
    from pixjax.errors import InputError
    from pixjax.paths import local_path
    from pixjax.runtime import set_up
    from pixjax.sampling.request import SampleRequest, prepare, run_request

    request = SampleRequest(
        **{name: getattr(args, name) for name in _ASKED},
        changes=_changes(args),
    )
    if args.show is not None and args.show < 0:
        raise InputError(f"--show={args.show} has to be 0 or more texts")
    set_up()
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from pixjax.checkpoints.load import load
    from pixjax.codec import IMAGE, TEXT
    from pixjax.sampling.pictures import contact_sheet
    from pixjax.training.watch import StopSignal

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


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """The keys of `config.sampling` that were given."""
    from pixjax.errors import InputError

    changes = {
        "sampler": args.sampler,
        "steps": args.steps,
        "grid": args.grid,
        "blocks": args.blocks,
        "temperature": args.temperature,
        "top_p": args.top_p,
        "churn": args.churn,
        "asymmetry": args.asymmetry,
        "guidance": args.guidance,
        "project_from": args.project,
        "project_strength": args.project_strength,
        "repeats": args.repeats,
        "stretch": args.stretch,
    }
    if args.guidance_interval is not None:
        try:
            changes["guidance_interval"] = tuple(float(time) for time in args.guidance_interval.split(","))
        except ValueError:
            raise InputError(f"--guidance-interval={args.guidance_interval} is no interval: write 0.1,0.9") from None
    return {name: value for name, value in changes.items() if value is not None}

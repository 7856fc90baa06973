"""`pixjax sample`."""

import argparse

HELP = "make canvases with a trained model, and read or show each by its tag"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run")
    parser.add_argument(
        "--modality", choices=("text", "image", "any"), default="any", help="any: each canvas's tag decides"
    )
    parser.add_argument("--num", type=int, default=16, metavar="N", help="how many canvases")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets text.jsonl, canvases/, images/ and grid.png")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None, help="of the sampler; the config's unless given")
    parser.add_argument("--sampler", metavar="NAME", default=None, help="heun, euler, dpm++ or stochastic")
    parser.add_argument("--label", type=int, default=-1, help="class of a natural image; -1: none")
    parser.add_argument("--ema", default="", metavar="DECAY", help="which average, or none; the first unless given")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument(
        "--contact-sheet",
        action="store_true",
        help="also contact_sheet.png: training data, noisy, and denoised",
    )


def run(args: argparse.Namespace) -> None:
    import pathlib

    from pixjax.config import MAX_SEED
    from pixjax.errors import InputError

    if not 0 <= args.seed <= MAX_SEED:
        raise InputError(f"--seed={args.seed} has to be between 0 and {MAX_SEED}")
    if args.num < 1:
        raise InputError(f"--num={args.num} is too few: at least one canvas")
    from pixjax.runtime import set_up

    set_up()
    import numpy as np

    from pixjax.codec import IMAGE, TEXT
    from pixjax.evaluation.generate import generate, require_possible
    from pixjax.evaluation.pictures import contact_sheet, grid
    from pixjax.evaluation.restore import load
    from pixjax.evaluation.samples import write_samples
    from pixjax.training.watch import StopSignal

    out = pathlib.Path(args.out)
    denoiser = load(args.workdir, ema=args.ema, step=args.checkpoint)
    changes = {name: value for name in ("steps", "sampler") if (value := getattr(args, name)) is not None}
    denoiser.config.sampling.changed(**changes)
    require_possible(denoiser, args.modality, args.label)
    out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with StopSignal("writing what is made so far") as stop:
        made = generate(
            denoiser,
            args.modality,
            args.num,
            seed=args.seed,
            label=args.label,
            stop=lambda: bool(stop.received),
            **changes,
        )
    rows = write_samples(out, made, denoiser.codec)
    if stop.received:
        print(f"stopped by {stop.received} after {len(made.x)} of {args.num} canvases: the same command makes them all")
        return
    grid(made.canvases, columns=min(8, args.num)).save(out / "grid.png")
    for row in rows:
        print(f"--- text canvas {row['index']}, margin {row['margin']:.2f}\n{row['text']}")
    print(
        f"{args.num} canvases: {len(rows)} text, {int(np.sum(made.modality == IMAGE))} images; grid: {out / 'grid.png'}"
    )
    if args.contact_sheet:
        from pixjax.data import make_batches

        with make_batches(denoiser.config, denoiser.codec) as batches:
            batch = next(batches)
        chosen = np.concatenate([np.flatnonzero(batch["modality"] == m)[:3] for m in (TEXT, IMAGE)])
        contact_sheet(denoiser, batch["canvas"][chosen], batch["modality"][chosen]).save(out / "contact_sheet.png")
        print(f"contact sheet: {out / 'contact_sheet.png'}")

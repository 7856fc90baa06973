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
    parser.add_argument("--steps", type=int, default=0, help="of the sampler; 0: the config's")
    parser.add_argument("--sampler", choices=("heun", "euler"), default="", help="the config's unless given")
    parser.add_argument("--prompt", metavar="TEXT", help="what to answer, or to go on from (a model with context)")
    parser.add_argument("--prompt-image", metavar="FILE", help="a picture to answer; with --prompt, it comes first")
    parser.add_argument(
        "--pages", type=int, default=1, metavar="N", help="of each text, every page conditioned on the one before"
    )
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
    if args.num < 1 or args.steps < 0:
        raise InputError(f"--num={args.num} --steps={args.steps}: at least one canvas, and steps of 0 or more")
    if args.pages < 1:
        raise InputError(f"--pages={args.pages} has to be 1 or more")
    if args.pages > 1 and args.modality != "text":
        raise InputError(f"--pages={args.pages} is for text: add --modality=text")
    from pixjax.runtime import set_up

    set_up()
    import numpy as np

    from pixjax.codec import IMAGE, TEXT
    from pixjax.evaluation.generate import generate, require_possible
    from pixjax.evaluation.pages import generate_pages, require_pages, write_pages
    from pixjax.evaluation.pictures import contact_sheet, grid
    from pixjax.evaluation.prompts import make_context, read_prompt
    from pixjax.evaluation.restore import load
    from pixjax.evaluation.samples import write_samples
    from pixjax.training.watch import StopSignal

    out = pathlib.Path(args.out)
    denoiser = load(args.workdir, ema=args.ema, step=args.checkpoint)
    require_possible(denoiser, args.modality, args.label)
    prompt = read_prompt(denoiser, text=args.prompt, image=args.prompt_image)
    if args.pages > 1:
        require_pages(denoiser)
    out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    with StopSignal("writing what is made so far") as stop:
        options = {"seed": args.seed, "sampler": args.sampler, "steps": args.steps, "stop": lambda: bool(stop.received)}
        if args.pages > 1:
            pages = generate_pages(denoiser, args.num, args.pages, prompt=prompt, **options)
        else:
            context = make_context(denoiser, [prompt] * args.num)
            pages = [generate(denoiser, args.modality, args.num, label=args.label, context=context, **options)]
    made = pages[0]
    rows = write_pages(out, pages, denoiser.codec) if args.pages > 1 else write_samples(out, made, denoiser.codec)
    total = args.num * args.pages
    if stop.received:
        done = sum(len(page.x) for page in pages)
        print(f"stopped by {stop.received} after {done} of {total} canvases: the same command makes them all")
        return
    canvases = np.stack([page.canvases for page in pages], axis=1).reshape(-1, *made.canvases.shape[1:])
    grid(canvases, columns=args.pages if args.pages > 1 else min(8, args.num)).save(out / "grid.png")
    for row in rows:
        print(f"--- text canvas {row['index']}, margin {row['margin']:.2f}\n{row['text']}")
    print(f"{total} canvases: {len(rows)} text, {int(np.sum(made.modality == IMAGE))} images; grid: {out / 'grid.png'}")
    if args.contact_sheet:
        from pixjax.data import make_batches

        with make_batches(denoiser.config, denoiser.codec) as batches:
            batch = next(batches)
        chosen = np.concatenate([np.flatnonzero(batch["modality"] == m)[:3] for m in (TEXT, IMAGE)])
        contact_sheet(denoiser, batch["canvas"][chosen], batch["modality"][chosen]).save(out / "contact_sheet.png")
        print(f"contact sheet: {out / 'contact_sheet.png'}")

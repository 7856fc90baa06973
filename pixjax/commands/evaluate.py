"""`pixjax evaluate`: figures and a report of a checkpoint."""

import argparse

HELP = "measure a checkpoint: bits, samples, denoising, and a report to open"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run, or pretrained:NAME")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets metrics.json, report.html and samples/")
    parser.add_argument("--test", metavar="URI,…", help="held-out sources; evaluation.test of the config unless given")
    parser.add_argument("--validation", metavar="URI,…", help="sources on which choices are made, as the endpoint")
    parser.add_argument("--sources", metavar="URI,…", help="where the training sources lie now, if they were moved")
    parser.add_argument("--blocks", metavar="N,…", help="orders of text: 1 is letter by letter, whole all at once")
    parser.add_argument("--num-samples", type=int, metavar="N", help="canvases generated of each modality")
    parser.add_argument("--num-canvases", type=int, metavar="N", help="held-out canvases of each modality, at most")
    parser.add_argument("--num-times", type=int, metavar="N", help="noisy versions of each canvas for its likelihood")
    parser.add_argument("--batch-size", type=int, metavar="N", help="canvases denoised at once")
    parser.add_argument("--steps", type=int, metavar="N", help="of the sampler")
    parser.add_argument("--sampler", help="the config's unless given")
    parser.add_argument("--seed", type=int, default=0, help="of noise and samples")
    parser.add_argument("--ema", default="", metavar="DECAY", help="which average; the first unless given")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument(
        "--inception", metavar="FILE", help="weights of torch-fidelity's network, for FID, KID and more"
    )
    parser.add_argument("--language-model", metavar="DIR", help="of Hugging Face format, for the perplexity of samples")
    parser.add_argument("--baselines", nargs="*", default=[], metavar="FILE", help="results of benchmarks/baselines")


def run(args: argparse.Namespace) -> None:
    from pixjax.runtime import set_up

    set_up()
    import sys

    from pixjax.evaluation.evaluate import HEADLINES, Stopped
    from pixjax.paths import user_path
    from pixjax.report.run import REPORT_FILE, evaluate
    from pixjax.training.stop_signal import StopSignal

    overrides = {
        "evaluation.test": _sources("--test", args.test),
        "evaluation.validation": _sources("--validation", args.validation),
        "evaluation.blocks": None if args.blocks is None else (args.blocks,),
        "evaluation.samples": args.num_samples,
        "evaluation.canvases": args.num_canvases,
        "evaluation.num_times": args.num_times,
        "evaluation.batch_size": args.batch_size,
        "data.sources": _sources("--sources", args.sources),
        "sampling.steps": args.steps,
        "sampling.sampler": args.sampler,
    }
    out = user_path(args.out, "--out")
    with StopSignal("keeping what is measured so far") as stop:
        try:
            metrics = evaluate(
                args.workdir,
                out,
                {key: value for key, value in overrides.items() if value is not None},
                ema=args.ema,
                step=args.checkpoint,
                seed=args.seed,
                baselines=args.baselines,
                inception=args.inception,
                language_model=args.language_model,
                stop=lambda: bool(stop.received),
                say=lambda line: print(line, file=sys.stderr, flush=True),
            )
        except Stopped:
            print(f"stopped by {stop.received}: what was measured is kept in {out}, the same command continues")
            return
    for key in (name for names in HEADLINES.values() for name in names):
        if key in metrics:
            print(f"{key} {metrics[key]:.3f} ± {metrics[f'{key}_stderr']:.3f}")
    if "forward_share" in metrics:
        print(f"{metrics['evaluations']:,} canvases denoised; forward passes are {metrics['forward_share']:.0%} of it")
    print(f"report: {out / REPORT_FILE}")


def _sources(flag: str, given: str | None) -> tuple[str, ...] | None:
    from pixjax.errors import InputError

    if given == "":
        raise InputError(f"{flag} is empty: name a source, or leave it out")
    return None if given is None else (given,)

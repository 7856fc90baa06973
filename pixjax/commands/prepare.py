"""`pixjax prepare`: a source made into ArrayRecord shards that are read at the speed of the disk."""

import argparse
import functools
import os
import sys

from pixjax.data.schemes import SCHEMES

_NAMED = 10  # of what was skipped in a shard

HELP = "write a data source as sharded records, resized and tokenized once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    schemes = ", ".join(f"{scheme}:…" for scheme in SCHEMES)
    parser.add_argument("--source", required=True, metavar="URI", help=f"a data source: {schemes}")
    parser.add_argument("--out", required=True, metavar="DIR", help="read it as array_record:DIR")
    parser.add_argument("--canvas-size", type=int, default=64, help="pixels a side (64)")
    parser.add_argument("--shards", type=int, default=0, metavar="N", help="at most so many files (by size)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (all cores)")
    parser.add_argument("--tokenizer", default="bytes", help="of text: bytes, chars27, FILE.json, FILE.model, a folder")
    parser.add_argument("--normalize", action="store_true", help="let the tokenizer rewrite the text")
    parser.add_argument(
        "--max-bad-fraction", type=float, default=0.01, metavar="F", help="of the rows of texts, before it stops (0.01)"
    )
    parser.add_argument("--runner", help="make the shards on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, …")
    parser.add_argument("--runner-options", default="", metavar="FLAGS", help="of the pipeline, in quotes")


def run(args: argparse.Namespace) -> int:
    from pixjax.codec import CanvasCodec
    from pixjax.data.labels import describe_counts
    from pixjax.data.preparation import plan_preparation
    from pixjax.data.prepare import prepare
    from pixjax.data.shards import coverage_of_shards
    from pixjax.errors import InputError, RunError
    from pixjax.paths import reachable_path
    from pixjax.training.stop_signal import StopSignal

    out = str(reachable_path(args.out, "--out"))
    for name, least in (("canvas_size", 1), ("shards", 0), ("workers", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')}={getattr(args, name)} has to be {least} or more")
    if not 0 <= args.max_bad_fraction <= 1:
        raise InputError(f"--max-bad-fraction={args.max_bad_fraction:g} is not in [0, 1]")
    make_all = None
    if args.runner:
        from pixjax.data.beam import make_on_beam, require_beam

        require_beam(args.runner)
        make_all = functools.partial(make_on_beam, runner=args.runner, options=args.runner_options)
    codec = CanvasCodec(tokenizer=args.tokenizer, normalize=args.normalize, canvas_size=args.canvas_size)
    preparation = plan_preparation(
        args.source,
        out,
        canvas_size=args.canvas_size,
        codec=codec,
        shards=args.shards,
        max_bad_fraction=args.max_bad_fraction,
    )
    total = preparation.recipe.num_shards

    class Stopped(Exception):
        pass

    def report(shard) -> None:
        skipped = f", {len(shard.skipped)} skipped" if shard.skipped else ""
        print(f"{shard.file}: {shard.num_records:,} records{skipped}", file=sys.stderr)
        for name, cause, detail in shard.skipped[:_NAMED]:
            print(f"  skipped {name} ({cause}: {detail})", file=sys.stderr)
        if (more := len(shard.skipped) - _NAMED) > 0:
            print(f"  and {more:,} more, which manifest.json names", file=sys.stderr)
        if stop.received:
            raise Stopped

    with StopSignal("ending with the shards in work") as stop:
        try:
            manifest = prepare(
                preparation,
                workers=args.workers,
                make_all=make_all,
                report=report,
                notify=lambda message: print(message, file=sys.stderr),
            )
        except (Stopped, RunError):
            if not stop.received:
                raise
            print(f"stopped by {stop.received}: shards that are done are kept in {out}, the same command continues")
            return 0
    summary = manifest.to_dict()
    tokens = f", {summary['num_tokens']:,} tokens" if summary["num_tokens"] else ""
    if args.normalize and summary["num_characters"]:
        print(f"{args.source}: {coverage_of_shards(manifest.shards)}")
    causes = ", ".join(f"{count} {cause}" for cause, count in summary["skipped"].items())
    print(
        f"{out}: {summary['num_records']:,} records in {total} shards{tokens}, {summary['num_skipped']} skipped"
        + (f" ({causes})" if causes else "")
        + f"; read them as array_record:{out}"
    )
    if classes := summary["classes"]:
        print(describe_counts(classes))
    return 0

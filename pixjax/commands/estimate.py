"""`pixjax estimate`: the needs of a run on chips that need not be here."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixjax.planning.estimate import Estimate

HELP = "say what a run would need on given chips: memory, time, disk"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="NAME|FILE.py", help="as for pixjax train")
    parser.add_argument(
        "--chips", required=True, metavar="NAME", help="v5p-64 (32 chips, by their TensorCores), v5e-16, h100x8, or cpu"
    )
    parser.add_argument("--mfu", type=float, metavar="SHARE", help="of the chips' peak that training reaches (0.4)")
    parser.add_argument("--canvases", type=int, metavar="N", help="to train on; those of training.steps unless given")
    parser.add_argument("--hbm-gib", type=float, metavar="GIB", help="memory of a device that a step may take")
    parser.add_argument(
        "--compiler",
        choices=("auto", "cpu"),
        default="auto",
        help="auto: for TPUs their own, where libtpu is installed; cpu: several times as fast",
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON object, in bytes, FLOPs and seconds")
    parser.epilog = "Nothing is trained and no device is used. Any key of the config may follow as --config.KEY=VALUE."
    parser.set_defaults(prints_its_product=True)


def run(args: argparse.Namespace) -> None:
    import functools
    import json
    import sys

    from pixjax.config_file import load_config
    from pixjax.planning.estimate import estimate

    config = load_config(args.config, args.overrides)
    found = estimate(
        config,
        args.chips,
        mfu=args.mfu,
        canvases=args.canvases,
        memory_gib=args.hbm_gib,
        libtpu=args.compiler == "auto",
        tell=functools.partial(print, file=sys.stderr),
    )
    print(json.dumps(found.to_dict()) if args.json else "\n".join(lines(found)))


def lines(found: "Estimate") -> list[str]:
    """For a person."""
    gib = 2**30
    mesh = " x ".join(f"{axis} {size}" for axis, size in found.mesh.items())
    room = f"of {found.limit_bytes / gib:.2f} GiB: " + ("fits" if found.fits else "DOES NOT FIT")
    largest = "none fits"
    if found.largest_canvases_per_device:
        largest = (
            f"{found.largest_canvases_per_device} canvases a device, {found.largest_batch_size} a batch: compiled, "
            f"{found.largest_total_bytes / gib:.2f} GiB"
        )
    rows = [
        ("chips", f"{found.chips}: {found.devices} device(s), mesh {mesh}"),
        ("parameters", f"{found.parameters:,}"),
        (
            "computation",
            f"{_number(found.flops_per_canvas)}FLOPs a training canvas, {_number(found.flops_per_step)}FLOPs a step",
        ),
        ("batch", f"{found.batch_size} canvases, {found.canvases_per_device} a device"),
        ("memory", f"{found.total_bytes / gib:.2f} GiB a device {room}"),
        ("  state", f"{found.state_bytes / gib:.2f} GiB: parameters, moments, averages"),
        ("  fixed", f"{found.fixed_bytes / gib:.2f} GiB: gradients, workspace"),
        ("  activations", f"{found.activation_bytes / gib:.2f} GiB: {found.bytes_per_canvas / 2**20:.1f} MiB a canvas"),
        ("  batch", f"{found.batch_bytes / gib:.3f} GiB"),
        ("largest batch", largest),
        ("time", f"{_duration(found.days)} for {found.canvases:,} canvases at {found.mfu:.0%} MFU"),
        ("  step", f"{found.step_seconds:.3g} s, {found.canvases_per_second:,.0f} canvases/s"),
        (
            "  messages",
            "none: there is one device"
            if found.devices == 1
            else "not counted: that takes a step that fits, a TPU's links and its own compiler"
            if found.message_bytes is None or found.message_seconds is None
            else f"{found.message_bytes / gib:.2f} GiB from a device a step, {found.message_seconds:.3g} s at best: "
            f"{found.message_seconds / found.step_seconds:.0%} of the step where nothing is computed meanwhile",
        ),
        (
            "checkpoint",
            f"{found.checkpoint_bytes / gib:.2f} GiB, with all kept {found.checkpoints_bytes / gib:.2f}",
        ),
        ("compiler", found.compiler),
    ]
    rows += [("to make it fit", advice) for advice in found.advice]
    rows += [("assumed", assumption) for assumption in found.assumptions]
    return [f"{name:<14} {value}" for name, value in rows]


def _duration(days: float) -> str:
    """A duration in the unit that a person would choose."""
    for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if days * 86_400 >= 2 * seconds:
            return f"{days * 86_400 / seconds:.3g} {unit}"
    return f"{days * 86_400:.3g} seconds"


def _number(value: float) -> str:
    """1.23 G, for a unit to follow."""
    for scale, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g} "

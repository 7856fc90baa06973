"""`pixjax export`: a model to share, or weights for PyTorch JiT."""

import argparse

HELP = "write the weights of a workdir in the format of another project, or as a small workdir to share"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to",
        dest="target",
        required=True,
        choices=("jit", "workdir"),
        help="jit: JiT in PyTorch; workdir: one average and all that its use needs, nothing that training needs",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run, or pretrained:NAME")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help=".safetensors or .pth (needs PyTorch); of a workdir, a new folder"
    )
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument(
        "--ema", default="", metavar="DECAY", help="of a workdir: which average; the first unless given"
    )


def run(args: argparse.Namespace) -> None:
    from pixjax.paths import local_path, reachable_path
    from pixjax.runtime import require_devices

    require_devices()
    if args.target == "workdir":
        from pixjax.checkpoints.publish import publish

        folder = reachable_path(args.out, "--out")
        print(f"{folder}: {publish(args.workdir, folder, ema=args.ema, step=args.checkpoint)}")
        return
    from pixjax.checkpoints.run_files import find_workdir
    from pixjax.errors import InputError
    from pixjax.interop.convert import read_for_jit
    from pixjax.interop.jit_files import require_writable, write_jit_file

    if args.ema:
        raise InputError(f"--ema={args.ema} is for --to=workdir: JiT's file holds the parameters and every average")
    out = local_path(args.out, "--out")
    require_writable(out)
    contents = read_for_jit(find_workdir(args.workdir), args.checkpoint)
    write_jit_file(out, contents)
    print(f"{out}: {', '.join(contents.sets)}, {len(next(iter(contents.sets.values())))} tensors each")

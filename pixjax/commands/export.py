"""`pixjax export`."""

import argparse

HELP = "write the weights of a workdir in the format of another project"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", dest="target", required=True, choices=("jit",), help="the project: JiT in PyTorch")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run")
    parser.add_argument("--out", required=True, metavar="FILE", help=".safetensors, or .pth (needs PyTorch)")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")


def run(args: argparse.Namespace) -> None:
    import pathlib

    from etils import epath

    from pixjax.evaluation.convert import read_for_jit
    from pixjax.evaluation.jit_files import require_writable, write_jit_file

    out = pathlib.Path(args.out)
    require_writable(out)
    contents = read_for_jit(epath.Path(args.workdir), args.checkpoint)
    write_jit_file(out, contents)
    print(f"{out}: {', '.join(contents.sets)}, {len(next(iter(contents.sets.values())))} tensors each")

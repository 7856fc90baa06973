"""`pixjax convert`: weights of PyTorch JiT to a workdir."""

import argparse

HELP = "turn published weights of another project into a workdir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="origin", required=True, choices=("jit",), help="the project: JiT in PyTorch")
    parser.add_argument("file", metavar="FILE", help="its checkpoint, .pth or .safetensors")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="is made; sample, inspect and train accept it")


def run(args: argparse.Namespace) -> None:
    from pixjax.checkpoints.run_files import new_workdir
    from pixjax.interop.convert import write_converted
    from pixjax.interop.jit_files import read_jit_file
    from pixjax.paths import local_path
    from pixjax.runtime import require_devices

    require_devices()
    workdir = new_workdir(args.workdir)
    contents = read_jit_file(local_path(args.file, "FILE"))
    for note in write_converted(contents, workdir, args.file):
        print(note)
    print(f"workdir: {workdir}")

"""`pixjax train`: the training of a config in a workdir."""

import argparse

from pixjax.commands.exit_code import exit_code

HELP = "train a denoiser, or continue the run that a workdir holds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME|FILE.py[:ARG]",
        help="a config inside the package, or a file; its get_config is called with ARG",
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="where checkpoints and metrics go")
    group = parser.add_argument_group("several processes (found by themselves on a TPU pod and under SLURM)")
    group.add_argument("--coordinator", default="", metavar="HOST:PORT", help="of process 0")
    group.add_argument("--num-processes", type=int, metavar="N")
    group.add_argument("--process-id", type=int, metavar="I", help="0 to N-1")
    group.add_argument(
        "--connect-seconds", type=float, default=300.0, metavar="S", help="how long to wait for the others"
    )
    parser.add_argument(
        "--stopped-exit-code",
        type=exit_code,
        default=0,
        metavar="N",
        help="when a signal stopped the run before its last step (0): tells a launcher to start it again",
    )
    parser.add_argument(
        "--hang-exit-code",
        type=exit_code,
        default=0,
        metavar="N",
        help="end with it when nothing moves for training.hang_minutes (0: only say so, and go on waiting)",
    )
    parser.epilog = "Any key of the config may follow as --config.KEY=VALUE, for instance --config.training.steps=100."


def run(args: argparse.Namespace) -> int:
    from pixjax.checkpoints.run_files import new_workdir
    from pixjax.config_file import load_config

    workdir = new_workdir(args.workdir)
    config = load_config(args.config, args.overrides)  # wrong input is told before jax is loaded
    from pixjax.runtime import set_up
    from pixjax.training.train import train

    set_up(args)
    return 0 if train(config, workdir, hang_exit_code=args.hang_exit_code) else args.stopped_exit_code

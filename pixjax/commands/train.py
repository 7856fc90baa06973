"""`pixjax train`."""

import argparse

HELP = "train a denoiser, or continue the run that a workdir holds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", required=True, metavar="NAME|FILE.py", help="a config inside the package, or a file"
    )
    parser.add_argument("--workdir", required=True, metavar="DIR", help="where checkpoints and metrics go")
    parser.epilog = "Any key of the config may follow as --config.KEY=VALUE, for instance --config.training.steps=100."


def run(args: argparse.Namespace) -> None:
    from etils import epath

    from pixjax.config_file import read_config

    config = read_config(args.config, args.overrides)  # wrong input is told before jax is loaded
    from pixjax.runtime import set_up
    from pixjax.training.train import train

    set_up()
    train(config, epath.Path(args.workdir))

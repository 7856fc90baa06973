"""The command `pixjax`: parses, dispatches, and turns errors into one line and an exit code.

Each command is a module in `pixjax/commands/` with `HELP`, `add_arguments(parser)` and `run(args)`. Those modules
import nothing heavy at the top, so that `pixjax --help` answers at once.
"""

import argparse
import importlib
import sys
import traceback

from pixjax import peers
from pixjax.errors import InputError, RunError, outcome_of
from pixjax.streams import safe_streams
from pixjax.version import __version__

COMMANDS = (
    "train",
    "sample",
    "evaluate",
    "study",
    "inspect",
    "codec",
    "tokenizer",
    "data",
    "prepare",
    "convert",
    "export",
    "doctor",
    "estimate",
    "demo-ui",
)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pixjax",
        description="One pixel-space diffusion transformer for text and natural images.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pixjax {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"pixjax.commands.{name.replace('-', '_')}")
        command = commands.add_parser(name, help=module.HELP, description=module.HELP, allow_abbrev=False)
        module.add_arguments(command)
        if command.get_default("run") is None:  # a command with sub-commands has set one for each
            command.set_defaults(run=module.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, 1 (failed), 2 (wrong input) or 75 (another process of the run was lost: `pixjax.peers`). Only a bug
    ends in a traceback.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    with safe_streams() as (out, _):
        code, prints_its_product = _run(arguments)
        if prints_its_product and out.failure and not out.has_no_reader:
            print(f"pixjax: what it prints could not be written ({out.reason}): send it elsewhere", file=sys.stderr)
            return code or 1
        return code


def _run(arguments: list[str]) -> tuple[int, bool]:
    """The exit code, and whether what the command makes is what it prints."""
    overrides = [a for a in arguments if a.startswith("--config.")]
    args = argparse.Namespace()
    try:
        for override in overrides:
            if "=" not in override:
                raise InputError(f"{override} has no value: write {override}=VALUE")
        args = make_parser().parse_args([a for a in arguments if a not in overrides])
        if overrides and not hasattr(args, "config"):
            raise InputError(f"{overrides[0].split('=')[0]} belongs to a command that takes --config")
        args.overrides = overrides
        code = args.run(args) or 0
        peers.leave(code)
    except (Exception, KeyboardInterrupt) as error:
        if others := peers.current():
            others.settle(5.0 if _may_come_from_a_loss(error) else 0.0)
        try:
            code, line = outcome_of(error)
        except Exception:
            if peers.current():
                traceback.print_exc()
                peers.leave(1, f"{type(error).__name__}: {error}")
            raise
        print(f"pixjax: {line}", file=sys.stderr)
        peers.leave(code, line)
    return code, getattr(args, "prints_its_product", False)


def _may_come_from_a_loss(error: BaseException) -> bool:
    """Whether an error may come from the loss of another process: a library raised it, or a `RunError` wraps it."""
    if isinstance(error, RunError):
        return error.__cause__ is not None
    return not isinstance(error, InputError | KeyboardInterrupt)

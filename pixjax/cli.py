"""The command `pixjax`: parses, dispatches, and turns errors into one line and an exit code.

Each command is a module in `pixjax/commands/` with `HELP`, `add_arguments(parser)` and `run(args)`. Those modules
import nothing heavy at the top, so that `pixjax --help` answers at once.
"""

import argparse
import importlib
import os
import sys

from pixjax import __version__
from pixjax.errors import InputError, RunError

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
    """Exit code 0, 1 (failed) or 2 (wrong input). Only a bug ends in a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    overrides = [a for a in arguments if a.startswith("--config.")]
    try:
        for override in overrides:
            if "=" not in override:
                raise InputError(f"{override} has no value: write {override}=VALUE")
        args = make_parser().parse_args([a for a in arguments if a not in overrides])
        if overrides and not hasattr(args, "config"):
            raise InputError(f"{overrides[0].split('=')[0]} belongs to a command that takes --config")
        args.overrides = overrides
        return args.run(args) or 0
    except (InputError, RunError) as error:
        print(f"pixjax: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        print(f"pixjax: {error.filename}: {error.strerror}: choose another path", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"pixjax: {error}: what was written before is kept", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pixjax: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

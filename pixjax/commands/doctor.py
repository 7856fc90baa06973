"""`pixjax doctor`: checks of this machine and of a config."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixjax.planning.finding import Finding

HELP = "check this machine, and whether a config can be trained here"

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="", metavar="NAME|FILE.py", help="as for pixjax train")
    parser.add_argument("--workdir", metavar="DIR", help="where it would be trained; its config, if it has")
    parser.add_argument("--json", action="store_true", help="one JSON object, in bytes, FLOP/s and canvases/s")
    parser.epilog = "Exit code 1 where a run would fail. Any key of the config may follow as --config.KEY=VALUE."
    parser.set_defaults(prints_its_product=True)


def run(args: argparse.Namespace) -> int:
    import dataclasses
    import json

    from pixjax.checkpoints.run_files import new_workdir
    from pixjax.config_file import load_config
    from pixjax.errors import InputError

    workdir = None if args.workdir is None else new_workdir(args.workdir)
    if args.overrides and not args.config:
        raise InputError(f"{args.overrides[0].split('=')[0]} changes a config: name it with --config")
    config = load_config(args.config, args.overrides) if args.config else None
    from pixjax.checkpoints.run_files import CONFIG_FILE, read_run
    from pixjax.planning.doctor import examine
    from pixjax.runtime import connect

    connect(args)
    if config is None and workdir is not None and (workdir / CONFIG_FILE).exists():
        config, _ = read_run(workdir)
    if args.json:
        findings = examine(config, workdir)
    else:
        with _Report(process=_process_index()) as report:
            findings = examine(config, workdir, report.tell)
    fails = any(finding.status == "failure" for finding in findings.values())
    if args.json:
        checks = {name: dataclasses.asdict(finding) for name, finding in findings.items()}
        print(json.dumps({"fit": not fails, "checks": checks}))
    return int(fails)


def _process_index() -> int:
    """0 also where no device can be had, which a check tells."""
    import jax

    from pixjax.errors import InputError
    from pixjax.runtime import require_devices

    try:
        require_devices()
    except InputError:
        return 0
    return jax.process_index()


class _Report:
    """A table on a terminal, lines elsewhere. Of other processes than the first only what is not well is told."""

    def __init__(self, *, process: int):
        from rich.console import Console
        from rich.live import Live
        from rich.table import Table

        self._process = process
        console = Console()
        self._table = Table("check", "", "found", "remedy")
        self._live = Live(self._table, console=console, vertical_overflow="visible") if console.is_terminal else None

    def __enter__(self) -> "_Report":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live:
            self._live.stop()

    def tell(self, name: str, finding: "Finding") -> None:
        if self._process and finding.status == "ok":
            return
        if self._live:
            from rich.text import Text  # paths have brackets, which are no markup

            status = Text(finding.status, style=_COLOURS[finding.status])
            self._table.add_row(Text(name), status, Text(finding.found), Text(finding.remedy))
            self._live.refresh()
        else:
            where = f"process {self._process}: " if self._process else ""
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            print(f"{where}{finding.status:<8} {name}: {finding.found}{remedy}", flush=True)

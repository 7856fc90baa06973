"""What pixjax does on the accelerator of this machine, in calls of a few minutes.

    python benchmarks/accelerator.py [--minutes=9] [--out=accelerator.json] [--letters27=letters27]

Each part is a process of its own, so that its memory is freed and a crash stays in it. What a part has found is written
into `--out` when it is done; a part that failed, that is not possible here, or that there was no time for is named with
the reason, and the others go on. The same command again measures what is missing and nothing else: two or three calls
make all of it, the first of them the longest, as compiled programs are kept. At the end a table of Markdown is printed,
with the goals beside. Exit code 1 where a part failed or is still missing.

`--letters27` is the folder that `benchmarks/letters27.py` made; without it that run is left out. `--tiny` is for a CPU
and for the tests: models of no use, and figures of no meaning.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEASURED, FAILED, NOT_MEASURED = "measured", "failed", "not measured"
Figures = dict[str, Any]

# The seconds that a part takes on one GPU, by guess: with fewer left it is not begun.
SECONDS = {
    "precision": 75,
    "attention": 75,
    "mfu-S": 75,
    "mfu-B": 75,
    "mfu-L": 100,
    "torch": 110,
    "loader": 60,
    "memory": 60,
    "letters27": 270,
}


def of_mfu(figures: Figures) -> str:
    def one(name: str) -> str:
        of = figures[name]
        use = "no known peak" if of["mfu"] is None else f"{of['mfu']:.0%}"
        return f"{use} ({of['canvases_per_second']:,.0f} canvases/s, {of['canvases']} a step)"

    return f"{one('pixels')}; {one('text head')}"


# By part, in the order of the table: what, its figure, the goal.
ROWS: dict[str, tuple[tuple[str, Callable[[Figures], str], str], ...]] = {
    **{
        f"mfu-{size}": ((f"MFU of {size}/4 at 64 pixels, with the pixel head; with the text head", of_mfu, "≥ 50 %"),)
        for size in "SBL"
    },
    "torch": (
        ("a training step, against `torch.compile` in the same run", lambda f: f"{f['step']:.2f}", "≥ 1.2"),
        ("sampling, against the same", lambda f: f"{f['sample']:.2f}", "≥ 1.2"),
    ),
    "loader": (
        (
            "share of the time that training waits for data",
            lambda f: ", ".join(f"{share:.2%} with {n} workers" for n, share in f["wait_share"].items()),
            "< 1 %",
        ),
    ),
    "attention": (
        ("a step of B/4, cuDNN's attention against XLA's", lambda f: f"{f['step_ratio']:.2f}", ""),
        ("difference of their outputs, relative", lambda f: f"{f['difference']:.1e}", ""),
    ),
    "precision": (
        (
            "losses in bfloat16 against float32, with the same parameters: the largest relative difference",
            lambda f: f"{f['largest']:.1e} in {f['steps']} steps",
            "",
        ),
    ),
    "memory": (
        (
            "memory of a step of S/4 on one device, and over what `pixjax estimate` says",
            lambda f: f"{f['peak_bytes'] / 2**30:.2f} GiB, {f['peak_bytes'] / f['estimated_bytes']:.2f}",
            "",
        ),
    ),
    "letters27": (
        (
            "`letters27_best` in three minutes, bits per character",
            lambda f: f"{f['bits_per_char']:.3f} ± {f['bits_per_char_stderr']:.3f} ({f['steps']:,} steps)",
            "",
        ),
    ),
}


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="after which nothing is measured any more")
    parser.add_argument("--out", default="accelerator.json", metavar="FILE", help="what is in it is not measured again")
    parser.add_argument("--letters27", default="", metavar="DIR", help="the folder that benchmarks/letters27.py made")
    parser.add_argument("--tiny", action="store_true", help="try it on a CPU: the figures mean nothing")
    return parser


def in_a_process(name: str, args: argparse.Namespace, limit: float) -> dict[str, Any]:
    """The record of a part, measured by a process that has `limit` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.accelerator_parts", name, f"--result={result}"]
        command += [f"--letters27={pathlib.Path(args.letters27).resolve()}"] if args.letters27 else []
        command += ["--tiny"] if args.tiny else []
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": path}, stdout=sys.stderr, start_new_session=True
        )
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return {"status": NOT_MEASURED, "why": f"it was not done in the {limit:.0f} s that were left for it"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it, and what it has started
            process.wait()
        if result.exists():
            return json.loads(result.read_text())
        return {"status": FAILED, "why": f"its process ended with exit code {code}: what it said stands above"}


def read(path: pathlib.Path, tiny: bool) -> dict[str, dict[str, Any]]:
    """The records of an earlier call by part. Raises `ValueError` for a file that is none of this program's."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        known, was_tiny = content["parts"], content["tiny"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"--out={path} holds something else: choose another file") from None
    if was_tiny != tiny:
        made, other = ("with", "without") if was_tiny else ("without", "with")
        raise ValueError(f"--out={path} was made {made} --tiny and this is {other}: choose another file")
    return known


def write(path: pathlib.Path, tiny: bool, parts: dict[str, dict[str, Any]]) -> None:
    """Beside the file and then in its place, so that it is whole whenever this is killed."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps({"tiny": tiny, "parts": parts}, indent=2) + "\n")
    new.replace(path)


def table(parts: dict[str, dict[str, Any]]) -> str:
    """The rows as they may stand in README."""
    lines = ["| what | figure | goal |", "|---|---|---|"]
    for name, rows in ROWS.items():
        record = parts[name]
        for what, figure, goal in rows:
            found = (
                figure(record["figures"]) if record["status"] == MEASURED else f"{record['status']}: {record['why']}"
            )
            lines.append(f"| {what} | {found.replace('|', '/')} | {goal} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    args = make_parser().parse_args(arguments)
    path = pathlib.Path(args.out)
    try:
        parts = read(path, args.tiny)
        write(path, args.tiny, parts)
    except (OSError, ValueError) as error:
        print(f"accelerator.py: {error}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + 60 * args.minutes
    for name, seconds in SECONDS.items():
        if parts.get(name, {}).get("status") == MEASURED:
            continue
        left, needed = deadline - time.monotonic(), 0 if args.tiny else seconds
        if left > needed:
            print(f"{name}: about {seconds} s, {left:.0f} s are left", file=sys.stderr, flush=True)
            parts[name] = in_a_process(name, args, left)
        elif parts.get(name, {}).get("status") != FAILED:
            why = f"it takes about {seconds} s and {max(left, 0):.0f} s were left: the same command goes on"
            parts[name] = {"status": NOT_MEASURED, "why": why}
        write(path, args.tiny, parts)
    devices = sorted({record["device"] for record in parts.values() if "device" in record})
    print(f"{', '.join(devices) or 'no device was used'}; all figures are in {path}\n\n{table(parts)}")
    return int(any(record["status"] in (FAILED, NOT_MEASURED) for record in parts.values()))


if __name__ == "__main__":
    sys.exit(main())

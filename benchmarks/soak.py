"""The constant size of a long run: memory, open files and threads of a training process, watched from outside.

    python benchmarks/soak.py [--minutes 5] [--restarts 1] [--save-every 100]
    python benchmarks/soak.py --minutes 40 --restarts 0 --save-every 5     # some 2,000 saves in one process

A tiny model is trained by `pixjax train` with a checkpoint every few seconds at most, and canvases are sampled from the
same workdir meanwhile. The process is stopped by SIGTERM and continued `--restarts` times. Every second its resident
memory, file handles and threads are read from /proc (Linux only). What comes before `--warm-up` seconds of a process
is left out: compilation, the first saves, and memory that malloc keeps.

Prints for each process the slope of its memory, by least squares, in MiB for 1000 steps, the most handles and threads
in the first and in the second half of what was watched, and its memory at twenty moments (saves, MiB); and the most
that the checkpoints took of the disk, in checkpoints: five are kept, and one is written. Exits with 1 where the memory
grows by more than `--bound` MiB, and 0.03 MiB a save, over the time watched after the warm-up, handles or threads by
more than a few, or where a save failed. A save leaves no objects of Python behind; 0.02 MiB may stay in a short run.
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

import numpy as np

MIB_FOR_A_SAVE = 0.03
CONFIG = pathlib.Path(__file__).with_name("tiny_config.py")
PIXJAX = [sys.executable, "-m", "pixjax"]
MORE_HANDLES = 3  # or threads, than after the warm-up
KEPT = 5  # checkpoints


class Watched:
    """A training process, and what was seen of it: rows of (seconds, step, MiB, handles, threads)."""

    def __init__(self, workdir: pathlib.Path, settings: dict[str, int]):
        self._workdir = workdir
        command = [*PIXJAX, "train", f"--config={CONFIG}", f"--workdir={workdir}"]
        command += [f"--config.{name}={value}" for name, value in settings.items()]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self._process = subprocess.Popen(command, stderr=self._errors)
        self._began = time.monotonic()
        self.rows: list[tuple[float, int, float, int, int]] = []

    def look(self) -> None:
        if self._process.poll() is not None:
            raise SystemExit(f"the training ended by itself: {self.errors()}")
        proc = pathlib.Path(f"/proc/{self._process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        handles = len(os.listdir(proc / "fd"))
        resident = int(status["VmRSS"].split()[0]) / 1024
        row = (time.monotonic() - self._began, last_step(self._workdir), resident, handles, int(status["Threads"]))
        self.rows.append(row)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(120):
            raise SystemExit(f"the training did not stop as it should: {self.errors()}")

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def last_step(workdir: pathlib.Path) -> int:
    """Of the last whole line of the log; 0 before there is one."""
    try:
        with (workdir / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().split(b"\n")[:-1]
        return json.loads(lines[-1])["step"]
    except (FileNotFoundError, IndexError):
        return 0


def saved(workdir: pathlib.Path) -> set[int]:
    folder = workdir / "checkpoints"
    return {int(p.name) for p in folder.iterdir() if p.name.isdigit()} if folder.exists() else set()


def size(folder: pathlib.Path) -> int:
    """Bytes; of files that go away meanwhile none."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.path.getsize(os.path.join(place, name))
    return total


def figures(rows: list[tuple[float, int, float, int, int]], warm_up: float, save_every: int) -> dict:
    seconds, step, resident, handles, threads = np.array([row for row in rows if row[0] >= warm_up]).T
    slope = np.polyfit(step, resident, 1)[0]
    moments = np.unique(np.linspace(0, len(step) - 1, 20).astype(int))
    half = len(step) // 2  # whose most is compared: saves come and go
    return {
        "steps": [int(step[0]), int(step[-1])],
        "seconds": round(seconds[-1] - seconds[0]),
        "MiB": [round(resident[0], 1), round(resident[-1], 1)],
        "MiB_for_1000_steps": round(slope * 1000, 4),
        "MiB_grown": round(slope * (step[-1] - step[0]), 2),
        "MiB_for_a_save": round(slope * save_every, 3),
        "saves_and_MiB": [[int(step[i] // save_every), round(float(resident[i]), 1)] for i in moments],
        "handles": [int(handles[:half].max()), int(handles[half:].max())],
        "threads": [int(threads[:half].max()), int(threads[half:].max())],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--restarts", type=int, default=1)
    parser.add_argument("--warm-up", type=float, default=45.0, help="seconds of each process that are left out")
    parser.add_argument("--bound", type=float, default=4.0, help="MiB that a process may grow by besides its saves")
    parser.add_argument("--save-every", type=int, default=100, help="steps")
    parser.add_argument("--saves", type=int, default=10**6, help="of all processes together; it ends with them")
    parser.add_argument("--sample-every", type=float, default=20.0, help="seconds")
    args = parser.parse_args()
    share = 60 * args.minutes / (args.restarts + 1)
    if share < args.warm_up + 20:
        parser.error(f"--minutes={args.minutes:g} leaves {share:.0f} s a process: give more, or fewer --restarts")
    processes, checkpoints, samplings, failures, disk = [], set(), 0, 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        workdir = pathlib.Path(temporary) / "run"
        settings = {
            "training.steps": 10**9,
            "training.checkpoint_every": args.save_every,
            "training.keep_checkpoints": KEPT,
            "training.log_every": min(20, args.save_every),
        }
        for _ in range(args.restarts + 1):
            watched = Watched(workdir, settings)
            ends, next_sampling = time.monotonic() + share, time.monotonic() + args.sample_every
            while time.monotonic() < ends and last_step(workdir) < args.saves * args.save_every:
                time.sleep(1.0)
                watched.look()
                checkpoints |= saved(workdir)
                disk = max(disk, size(workdir / "checkpoints"))
                if checkpoints and time.monotonic() >= next_sampling:
                    out = pathlib.Path(temporary) / "samples"
                    sample = [*PIXJAX, "sample", f"--workdir={workdir}", "--num=4", f"--out={out}"]
                    sampling = subprocess.Popen(sample, stdout=subprocess.DEVNULL)
                    while sampling.poll() is None:
                        time.sleep(1.0)
                        watched.look()
                        checkpoints |= saved(workdir)
                    samplings += 1
                    failures += sampling.returncode != 0
                    next_sampling = time.monotonic() + args.sample_every
            watched.stop()
            checkpoints |= saved(workdir)
            one = size(workdir / "checkpoints") / len(saved(workdir))
            failures += watched.errors().count("saving failed")
            processes.append(figures(watched.rows, args.warm_up, args.save_every))
    grows = any(
        p["MiB_grown"] > args.bound + MIB_FOR_A_SAVE * (p["steps"][1] - p["steps"][0]) / args.save_every
        or any(p[kind][1] > p[kind][0] + MORE_HANDLES for kind in ("handles", "threads"))
        for p in processes
    )
    print(
        json.dumps(
            {
                "processes": processes,
                "checkpoints_seen": len(checkpoints),
                "most_on_disk": round(disk / one, 2),  # in checkpoints
                "checkpoint_KiB": round(one / 1024),
                "samplings": samplings,
                "failures": failures,
                "bound_MiB": args.bound,
                "grows": grows,
            }
        )
    )
    sys.exit(int(grows or failures > 0))


if __name__ == "__main__":
    main()

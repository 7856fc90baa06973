"""Whether a long run keeps its size: memory, open files and threads of a training process, watched from outside.

    python benchmarks/soak.py [--minutes 5] [--restarts 1] [--save-every 100]
    python benchmarks/soak.py --minutes 40 --restarts 0 --save-every 5     # some 2,000 saves in one process

A tiny model is trained by `pixjax train` with a checkpoint every few seconds at most, and canvases are sampled from the
same workdir meanwhile. The process is stopped by SIGTERM and continued `--restarts` times. Every second its resident
memory, file handles and threads are read from /proc (Linux only). What comes before `--warm-up` seconds of a process
is left out: compilation, the first saves, and memory that malloc keeps.

Prints for each process the slope of its memory, by least squares, in MiB for 1000 steps, the most handles and threads
in the first and in the second half of what was watched, its memory at ten moments (saves, MiB), and the checkpoints
saved. Exits with 1 where the memory grows
by more than `--bound` MiB, and 0.15 MiB a save, over the time watched after the warm-up, handles or threads by more
than a few, or where a save failed. What a save leaves behind are lists that tensorstore does not free:
ts.Spec.to_json() loses eight at every call (seen in tensorstore 0.1.86), 0.1 MiB a save.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

MIB_FOR_A_SAVE = 0.15
CONFIG = """
from pixjax.config import default_config

def get_config():
    config = default_config()
    config.model.update(
        variant="Ti", canvas_size=16, patch_size="4", depth=2, width=32, heads=2, bottleneck=16,
        in_context_tokens=0, dtype="float32",
    )
    config.codec.update(tokenizer="chars27", normalize=True, code="radix:3:1", layout="patch")
    config.data.update(batch_size=8)
    config.training.update(
        steps=10**9, checkpoint_every=SAVE_EVERY, keep_checkpoints=5, log_every=20, warmup_steps=2, ema_decays=(0.9,),
    )
    config.sampling.update(steps=2, batch_size=4)
    return config
"""
PIXJAX = [sys.executable, "-m", "pixjax.cli"]
MORE_HANDLES = 3  # or threads, than after the warm-up
SAMPLE_EVERY = 20.0  # seconds


class Watched:
    """A training process, and what was seen of it: rows of (seconds, step, MiB, handles, threads)."""

    def __init__(self, config: pathlib.Path, workdir: pathlib.Path):
        self._workdir = workdir
        command = [*PIXJAX, "train", f"--config={config}", f"--workdir={workdir}"]
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


def figures(rows: list[tuple[float, int, float, int, int]], warm_up: float, save_every: int) -> dict:
    seconds, step, resident, handles, threads = np.array([row for row in rows if row[0] >= warm_up]).T
    slope = np.polyfit(step, resident, 1)[0]
    moments = np.unique(np.linspace(0, len(step) - 1, 10).astype(int))
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
    args = parser.parse_args()
    share = 60 * args.minutes / (args.restarts + 1)
    if share < args.warm_up + 20:
        parser.error(f"--minutes={args.minutes:g} leaves {share:.0f} s a process: give more, or fewer --restarts")
    processes, checkpoints, samplings, failures = [], set(), 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        workdir, config = pathlib.Path(temporary) / "run", pathlib.Path(temporary) / "soak_config.py"
        config.write_text(CONFIG.replace("SAVE_EVERY", str(args.save_every)))
        for _ in range(args.restarts + 1):
            watched = Watched(config, workdir)
            ends, next_sampling = time.monotonic() + share, time.monotonic() + SAMPLE_EVERY
            while time.monotonic() < ends:
                time.sleep(1.0)
                watched.look()
                checkpoints |= saved(workdir)
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
                    next_sampling = time.monotonic() + SAMPLE_EVERY
            watched.stop()
            checkpoints |= saved(workdir)
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
                "checkpoints": len(checkpoints),
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

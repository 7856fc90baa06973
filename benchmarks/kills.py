"""Kills of a run of several processes, whose curve has to be that of a run that was left alone.

    python benchmarks/kills.py [--kills 200] [--processes 2] [--seed 0] [--minutes 60]

`pixjax train` runs as so many processes of this machine, forks of this one, which has imported everything. After a
random time one of them, at random, is killed with SIGKILL: a quarter of the kills come in the start-up, a quarter soon
after its first step, the others after its first checkpoint. The other processes have to end by themselves, within
thirty seconds, with exit code 75 and the name of the one that is gone. Then all are started again, as a launcher would.
When the kills are used up, or the minutes, the run goes on to its last step, and its curve and the digests of its
arrays have to be, bit for bit, those of a run without a kill.

Prints one line of JSON: the kills and how many of them came before the processes had met and in the middle of a save,
the saves of a run that is left alone, the longest time that a process took to end after another one was killed, what
survivors did that they should not, and whether the curves and the arrays are equal. Exits with 1 where they are not, or
where a survivor did not end as it should.
"""

import os

os.environ |= {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}

import argparse
import atexit
import collections
import json
import multiprocessing
import pathlib
import random
import socket
import sys
import tempfile
import time
from typing import Any

from etils import epath
from jax._src import compiler, distributed

from pixjax.checkpoints.checkpoint import Checkpoints, saved_steps
from pixjax.cli import main as pixjax
from pixjax.training.train import train  # noqa: F401 (imported before the forks)

CONFIG = pathlib.Path(__file__).with_name("tiny_config.py")
SAVE_EVERY = 5
LOST_PEER = 75
LIMIT = 30.0  # seconds in which survivors have to end
TIMED = ("canvases_per_second", "data/wait_share")


def as_process(arguments: list[str], log: int) -> None:
    """`pixjax` with these arguments in a fork, to its end."""
    atexit._clear()  # of this process, which would delete its folder
    for stream in (1, 2):
        os.dup2(log, stream)
    compiler._cache_write = write_cache
    code = pixjax(arguments)
    sys.stderr.flush()
    atexit._run_exitfuncs()  # the others are waited for
    os._exit(code)


def write_cache(*args: Any, write: Any = compiler._cache_write) -> None:
    """jax lets the first process alone write its cache, whose programs are not those of the others on a CPU."""
    run = distributed.global_state
    index, run.process_id = run.process_id, 0
    try:
        write(*args)
    finally:
        run.process_id = index


class Run:
    """All processes of one start."""

    def __init__(self, workdir: pathlib.Path, count: int, steps: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.logs = [tempfile.TemporaryFile("w+") for _ in range(count)]  # noqa: SIM115 (as long as the processes)
        command = ["train", f"--config={CONFIG}", f"--workdir={workdir}"]
        settings = {"steps": steps, "checkpoint_every": SAVE_EVERY, "keep_checkpoints": 2, "log_every": 1}
        command += [f"--config.training.{name}={value}" for name, value in settings.items()]
        command += [f"--coordinator={address}", f"--num-processes={count}"]
        fork = multiprocessing.get_context("fork")
        self.processes = [
            fork.Process(target=as_process, args=([*command, f"--process-id={index}"], log.fileno()))
            for index, log in enumerate(self.logs)
        ]
        for process in self.processes:
            process.start()

    def said(self, index: int) -> str:
        self.logs[index].seek(0)
        return self.logs[index].read()

    def ended(self) -> bool:
        return not all(process.is_alive() for process in self.processes)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def tail(workdir: pathlib.Path) -> bytes:
    """The last lines of the log."""
    try:
        with (workdir / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            return file.read()
    except FileNotFoundError:
        return b""


def last_step(workdir: pathlib.Path) -> int:
    lines = tail(workdir).split(b"\n")[:-1]  # the last one may be in the making
    return json.loads(lines[-1])["step"] if lines else 0


def curve(workdir: pathlib.Path) -> list[dict[str, Any]]:
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMED} for line in lines]


def digests(workdir: pathlib.Path, step: int) -> dict[str, Any]:
    """Of all arrays of a checkpoint: parameters, average, moments. They are compared with what is on the disk."""
    with Checkpoints(epath.Path(workdir)) as checkpoints:
        if problems := checkpoints.verify(step):
            raise SystemExit(problems[0])
        return checkpoints.meta(step)["digests"]


def newest(workdir: pathlib.Path) -> int:
    """The step of the last whole checkpoint, 0 before there is one."""
    return max(saved_steps(epath.Path(workdir)), default=0)


def is_saving(workdir: pathlib.Path) -> bool:
    """Whether a save is not whole, or what is left of one after a kill."""
    folder = workdir / "checkpoints"
    return folder.exists() and any("tmp" in path.name for path in folder.iterdir())


def kill_one(run: Run, victim: int) -> tuple[float, list[str]]:
    """How long the others took to end, and what was wrong with how they did."""
    run.processes[victim].kill()
    began, wrong = time.monotonic(), []
    for index, process in enumerate(run.processes):
        if index == victim:
            continue
        process.join(max(0.1, began + LIMIT - time.monotonic()))
        if process.is_alive():
            wrong.append(f"process {index} went on")
        elif process.exitcode != LOST_PEER:
            wrong.append(f"process {index} ended with {process.exitcode}: {run.said(index)[-300:]}")
        elif f"process {victim} of {len(run.processes)}" not in run.said(index):
            wrong.append(f"process {index} did not name process {victim}")
    return time.monotonic() - began, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="no more kills after that")
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="the longest time from a step or checkpoint to a kill; four times that from a start",
    )
    parser.add_argument(
        "--early",
        type=float,
        default=0.25,
        help="share of kills that wait for nothing, and of those that wait for a step",
    )
    args = parser.parse_args()
    began = time.monotonic()
    chance, until = random.Random(args.seed), began + 60 * args.minutes
    kills, early, in_saves, longest, wrong = 0, 0, 0, 0.0, []
    victims: collections.Counter[int] = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        workdir, alone = pathlib.Path(temporary) / "run", pathlib.Path(temporary) / "alone"
        while kills < args.kills and time.monotonic() < until:
            run, before = Run(workdir, args.processes, 10**6), newest(workdir)
            try:
                kind = chance.random()
                is_early = kind < args.early
                while not run.ended() and not (
                    newest(workdir) > before if kind > 2 * args.early else is_early or "\nstep " in run.said(0)
                ):
                    time.sleep(0.05)
                time.sleep(chance.uniform(0, args.seconds * (4 if is_early else 1)))
                if run.ended():
                    raise SystemExit("the run ended by itself: " + run.said(0)[-2000:] + run.said(1)[-2000:])
                victim = chance.randrange(args.processes)
                if is_early and "[Gloo]" not in run.said(1 - (victim > 0)):
                    early += 1  # they may not have met, which the launcher sees to
                    run.stop()
                else:
                    seconds, problems = kill_one(run, victim)
                    longest, wrong = max(longest, seconds), wrong + problems
                    in_saves += is_saving(workdir)
                    print(f"the others ended after {seconds:.1f} s {problems or ''}", file=sys.stderr)
                kills += 1
                victims[victim] += 1
                where = f"step {last_step(workdir)}, saved {newest(workdir)}"
                print(f"{time.monotonic() - began:.0f} s, kill {kills}: process {victim} at {where}", file=sys.stderr)
            finally:
                run.stop()
        seconds = time.monotonic() - began
        steps = last_step(workdir) + SAVE_EVERY
        for folder in (workdir, alone):
            run = Run(folder, args.processes, steps)
            for process in run.processes:
                process.join()
            if any(process.exitcode for process in run.processes):
                said = [f"{p.exitcode}: {run.said(i)[-2000:]}" for i, p in enumerate(run.processes)]
                raise SystemExit(f"after {kills} kills the last start in {folder.name} failed: {said}")
        same_curve = curve(workdir) == curve(alone) and len(curve(alone)) == steps
        same_arrays = digests(workdir, steps) == digests(alone, steps)
    print(
        json.dumps(
            {
                "kills": kills,
                "of_process": dict(sorted(victims.items())),
                "before_they_met": early,
                "in_the_middle_of_a_save": in_saves,
                "seconds": round(seconds),
                "longest_seconds": round(longest, 2),
                "steps": steps,
                "saves": -(-steps // SAVE_EVERY),
                "same_curve": same_curve,
                "same_arrays": same_arrays,
                "wrong": wrong,
            }
        )
    )
    sys.exit(int(not (same_curve and same_arrays) or bool(wrong)))


if __name__ == "__main__":
    main()

"""Whether a run of several processes survives any number of kills: its curve is compared with one that was left alone.

    python benchmarks/kills.py [--kills 200] [--processes 2] [--seed 0] [--minutes 60]

`pixjax train` runs as so many processes of this machine. After a random time one of them, at random, is killed with
SIGKILL; the others have to end by themselves, within thirty seconds, with exit code 75 and the name of the one that is
gone. Then all are started again, as a launcher would. When the kills are used up, or the minutes, the run goes on to
its last step, and its curve has to be, bit for bit, that of a run without a kill.

Prints one line of JSON: the kills, those that came before the first step of a start, the longest time that a process
took to end after another one was killed, how the survivors ended, and whether the curves are equal. Exits with 1 where
they are not, or where a survivor did not end as it should.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONFIG = """
from pixjax.config import default_config

def get_config():
    config = default_config()
    config.model.update(
        variant="Ti", canvas_size=16, patch_size="4", depth=2, width=32, heads=2, bottleneck=16,
        in_context_tokens=0, dtype="float32",
    )
    config.codec.update(tokenizer="chars27", normalize=True, code="radix:3:1", layout="patch")
    config.data.update(batch_size=12)
    config.training.update(
        steps=STEPS, checkpoint_every=5, keep_checkpoints=2, log_every=1, warmup_steps=2, ema_decays=(0.9,),
    )
    return config
"""
LOST_PEER = 75
LIMIT = 30.0  # seconds in which survivors have to end
TIMED = ("canvases_per_second", "data/wait_share")


class Run:
    """All processes of one start."""

    def __init__(self, config: pathlib.Path, workdir: pathlib.Path, count: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.logs = [tempfile.TemporaryFile("w+") for _ in range(count)]  # noqa: SIM115 (as long as the processes)
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"}
        self.processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "pixjax.cli", "train", f"--config={config}", f"--workdir={workdir}"),
                    *(f"--coordinator={address}", f"--num-processes={count}", f"--process-id={index}"),
                ],
                stdout=log,
                stderr=log,
                env=environment,
            )
            for index, log in enumerate(self.logs)
        ]

    def said(self, index: int) -> str:
        self.logs[index].seek(0)
        return self.logs[index].read()

    def ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def curve(workdir: pathlib.Path) -> list[dict]:
    try:
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in TIMED} for line in lines]
    except (FileNotFoundError, ValueError):  # a line that is being written
        return []


def kill_one(run: Run, victim: int) -> tuple[float, list[str]]:
    """How long the others took to end, and what was wrong with how they did."""
    run.processes[victim].send_signal(signal.SIGKILL)
    began, wrong = time.monotonic(), []
    for index, process in enumerate(run.processes):
        if index == victim:
            continue
        try:
            code = process.wait(max(0.1, began + LIMIT - time.monotonic()))
        except subprocess.TimeoutExpired:
            wrong.append(f"process {index} went on")
            continue
        if code != LOST_PEER:
            wrong.append(f"process {index} ended with {code}: {run.said(index)[-300:]}")
        elif f"process {victim} of {len(run.processes)}" not in run.said(index):
            wrong.append(f"process {index} did not name process {victim}")
    return time.monotonic() - began, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="no more kills after that")
    parser.add_argument("--seconds", type=float, default=3.0, help="the longest time from a step to a kill")
    parser.add_argument("--early", type=float, default=0.1, help="share of kills that wait for no step")
    args = parser.parse_args()
    chance, until = random.Random(args.seed), time.monotonic() + 60 * args.minutes
    kills, early, longest, wrong = 0, 0, 0.0, []
    victims: collections.Counter[int] = collections.Counter()
    with tempfile.TemporaryDirectory() as temporary:
        workdir, config = pathlib.Path(temporary) / "run", pathlib.Path(temporary) / "kills_config.py"
        config.write_text(CONFIG.replace("STEPS", str(10**6)))
        while kills < args.kills and time.monotonic() < until:
            run, before = Run(config, workdir, args.processes), curve(workdir)
            try:
                is_early = chance.random() < args.early
                while not is_early and not run.ended() and curve(workdir)[-3:] == before[-3:]:
                    time.sleep(0.05)
                time.sleep(chance.uniform(0, args.seconds))
                if run.ended():
                    raise SystemExit("the run ended by itself: " + run.said(0)[-2000:] + run.said(1)[-2000:])
                victim = chance.randrange(args.processes)
                if is_early and "[Gloo]" not in run.said(1 - (victim > 0)):
                    early += 1  # they may not have met, which the launcher sees to
                    run.stop()
                else:
                    seconds, problems = kill_one(run, victim)
                    longest, wrong = max(longest, seconds), wrong + problems
                    print(f"the others ended after {seconds:.1f} s {problems or ''}", file=sys.stderr)
                kills += 1
                victims[victim] += 1
                print(f"kill {kills}: process {victim} at step {len(curve(workdir))}", file=sys.stderr, flush=True)
            finally:
                run.stop()
        reached = max((line["step"] for line in curve(workdir)), default=0)
        steps = reached + 5
        config.write_text(CONFIG.replace("STEPS", str(steps)))
        curves = []
        for folder in (workdir, pathlib.Path(temporary) / "alone"):
            run = Run(config, folder, args.processes)
            codes = [process.wait() for process in run.processes]
            if any(codes):
                wrong.append(f"the last start ended with {codes}: {run.said(0)[-500:]}")
            curves.append(curve(folder))
    equal = curves[0] == curves[1] and len(curves[0]) == steps
    print(
        json.dumps(
            {
                "kills": kills,
                "of_process": dict(sorted(victims.items())),
                "before_they_met": early,
                "longest_seconds": round(longest, 2),
                "steps": steps,
                "equal": equal,
                "wrong": wrong,
            }
        )
    )
    sys.exit(int(not equal or bool(wrong)))


if __name__ == "__main__":
    main()

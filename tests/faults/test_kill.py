"""Runs that are killed or asked to stop: nothing is lost beyond the last checkpoint, and the curve is the same."""

import contextlib
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.load import load
from pixjax.training.train import train

KILLS = 6  # each costs a start; `benchmarks/kills.py` does hundreds


def is_saving(workdir: pathlib.Path) -> bool:
    folder = workdir / "checkpoints"
    with contextlib.suppress(FileNotFoundError):
        return any("tmp" in p.name for p in folder.iterdir())
    return False


def test_kill_9_in_the_middle_of_saves_loses_nothing_and_changes_no_bit(tmp_path, tiny_config, start, wait_for, curve):
    settings = {"steps": 24, "checkpoint_every": 2, "keep_checkpoints": 2}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    moments, reached = random.Random(0), 0
    for kills in range(KILLS + 1):
        run = start(killed, *[f"training.{name}={value}" for name, value in settings.items()])
        if kills < KILLS:
            wait_for(lambda: is_saving(killed), run)
            time.sleep(moments.uniform(0.0, 0.06))  # a save takes about this long
            run.kill()
        assert run.wait() == (-signal.SIGKILL if kills < KILLS else 0), run.log.read_text()
        steps = saved_steps(epath.Path(killed))
        assert not steps or steps[-1] >= reached  # what was complete stays
        reached = steps[-1] if steps else 0
    train(tiny_config(training=settings), epath.Path(whole))
    assert curve(killed) == curve(whole)
    for average in ("none", "0.9"):
        first, second = load(killed, ema=average), load(whole, ema=average)
        jax.tree.map(np.testing.assert_array_equal, first.params, second.params)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_first_step_ends_cleanly_too(tmp_path, start, finish, wait_for, number):
    run = start(tmp_path / "run", "training.steps=100000")
    wait_for(lambda: (tmp_path / "run" / "lock.json").exists(), run)
    run.send_signal(number)
    assert f"stopped by {number.name} at step 0" in finish(run)
    assert saved_steps(epath.Path(tmp_path / "run")) == [0]
    assert not (tmp_path / "run" / "lock.json").exists()


def test_a_signal_while_a_checkpoint_is_written_exits_as_told_and_the_same_command_continues(
    tmp_path, start, finish, wait_for, curve
):
    workdir, told = tmp_path / "run", ("--stopped-exit-code=42",)
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=1", arguments=told)
    wait_for(lambda: is_saving(workdir) and len(saved_steps(epath.Path(workdir))) > 1, run)
    run.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM at step" in finish(run, code=42)
    assert not is_saving(workdir)
    stopped = saved_steps(epath.Path(workdir))[-1]
    assert f"continuing at step {stopped}" in finish(start(workdir, f"training.steps={stopped + 2}", arguments=told))
    assert [line["step"] for line in curve(workdir)] == list(range(1, stopped + 3))


def test_a_signal_in_sampling_keeps_the_samples_that_are_made(tmp_path, tiny_config):
    workdir, out = tmp_path / "run", tmp_path / "samples"
    train(tiny_config(training={"steps": 1}), epath.Path(workdir))
    command = [sys.executable, "-m", "pixjax", "sample", f"--workdir={workdir}", f"--out={out}", "--num=1000000"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not out.exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    said, error = run.communicate(timeout=240)
    assert run.returncode == 0, error
    assert "stopped by SIGTERM after" in said
    assert (out / "text.jsonl").exists()

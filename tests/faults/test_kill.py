"""Runs that are killed or asked to stop: nothing is lost beyond the last checkpoint, and the curve is the same."""

import contextlib
import json
import os
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

FORKED = pathlib.Path(__file__).with_name("forked_run.py")
KILLS = 20


def is_saving(workdir: pathlib.Path) -> bool:
    folder = workdir / "checkpoints"
    with contextlib.suppress(FileNotFoundError):
        return any("tmp" in p.name for p in folder.iterdir())
    return False


def test_kill_9_in_the_middle_of_saves_loses_nothing_and_changes_no_bit(tmp_path, tiny_config, curve):
    config = tiny_config(training={"steps": 60, "checkpoint_every": 2, "keep_checkpoints": 2})
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    runs = subprocess.Popen(
        [sys.executable, FORKED, tmp_path / "config.json", killed],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    moments, reached, kills = random.Random(0), 0, 0
    while True:
        print("start", file=runs.stdin, flush=True)
        child = int(runs.stdout.readline())
        if kills < KILLS:
            deadline = time.monotonic() + 240
            while not is_saving(killed):
                assert runs.poll() is None
                assert time.monotonic() < deadline, "nothing was saved for long"
                time.sleep(0.002)
            time.sleep(moments.uniform(0.0, 0.06))  # a save takes about this long
            os.kill(child, signal.SIGKILL)
            kills += 1
        status = int(runs.stdout.readline())
        steps = saved_steps(epath.Path(killed))
        assert not steps or steps[-1] >= reached  # what was complete stays
        reached = steps[-1] if steps else 0
        if not os.WIFSIGNALED(status):
            break
    runs.communicate()
    assert os.WEXITSTATUS(status) == 0
    assert kills == KILLS
    train(config, epath.Path(whole))
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


def test_a_signal_while_a_checkpoint_is_written_ends_cleanly(tmp_path, start, finish, wait_for):
    workdir = tmp_path / "run"
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=1")
    wait_for(lambda: is_saving(workdir) and len(saved_steps(epath.Path(workdir))) > 1, run)
    run.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM at step" in finish(run)
    assert not is_saving(workdir)


def test_a_signal_in_sampling_keeps_the_samples_that_are_made(tmp_path, tiny_config):
    workdir, out = tmp_path / "run", tmp_path / "samples"
    train(tiny_config(training={"steps": 1}), epath.Path(workdir))
    command = [sys.executable, "-m", "pixjax.cli", "sample", f"--workdir={workdir}", f"--out={out}", "--num=1000000"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not out.exists():
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    said, error = run.communicate(timeout=240)
    assert run.returncode == 0, error
    assert "stopped by SIGTERM after" in said
    assert (out / "text.jsonl").exists()

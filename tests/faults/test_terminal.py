"""A run whose terminal goes away, is full or was never there: it goes on, says so in its workdir, and signals save."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.cli import main
from pixjax.training.train import train


@pytest.fixture
def endless(tmp_path, config_file, heard_hangups):
    """A run of its own that would train for days, its stderr a pipe; killed at the end, whatever happens."""
    command = [sys.executable, "-m", "pixjax", "train", f"--config={config_file}", f"--workdir={tmp_path / 'run'}"]
    settings = ["--config.training.steps=1000000", "--config.training.checkpoint_every=1000000"]
    run = subprocess.Popen([*command, *settings, "--stopped-exit-code=42"], stderr=subprocess.PIPE)
    yield run
    run.kill()
    run.wait()


def test_a_run_whose_reader_went_away_goes_on_and_saves_when_the_connection_drops(tmp_path, endless, wait_for):
    workdir, log = tmp_path / "run", tmp_path / "run" / "log.txt"
    assert any(b"parameters" in line for line in iter(endless.stderr.readline, b""))
    endless.stderr.close()  # as `| head` does
    wait_for(lambda: "Broken pipe" in log.read_text(), endless)
    reached = log.read_text().count("loss")
    wait_for(lambda: log.read_text().count("loss") >= reached + 3, endless)
    endless.send_signal(signal.SIGHUP)
    assert endless.wait(timeout=240) == 42
    (step,) = saved_steps(epath.Path(workdir))
    assert f"stopped by SIGHUP at step {step}, saved" in log.read_text().splitlines()[-1]


def test_a_run_that_cannot_say_anything_trains_to_its_end(tmp_path, config_file, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    workdir = tmp_path / "run"
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["train", f"--config={config_file}", f"--workdir={workdir}"]) == 0
    assert saved_steps(epath.Path(workdir))[-1] == 6
    log = (workdir / "log.txt").read_text()
    assert log.count("stderr can no longer be written to (No space left on device): training goes on without it") == 1
    assert "step 6/6  loss" in log
    assert "done: step 6 is saved" in log.splitlines()[-1]


def test_in_another_thread_it_does_without_signals_and_the_log_keeps_what_was_said(tmp_path, tiny_config, monkeypatch):
    workdir, log = epath.Path(tmp_path), tmp_path / "log.txt"
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    done = []
    thread = threading.Thread(target=lambda: done.append(train(tiny_config(training={"steps": 1}), workdir)))
    thread.start()
    thread.join()
    assert done == [True]
    assert handlers == {number: signal.getsignal(number) for number in handlers}

    before = log.read_text()
    monkeypatch.setattr("pixjax.training.train.Window.add", lambda *_: {}["a bug"])
    with pytest.raises(KeyError):
        train(tiny_config(training={"steps": 2}), workdir)
    assert log.read_text().startswith(before)
    assert "continuing at step 1" in log.read_text()
    assert log.read_text().endswith("KeyError: 'a bug'\n")

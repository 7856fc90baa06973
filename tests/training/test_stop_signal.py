"""Signals are seen between two steps; several processes stop at one step or none does."""

import io
import os
import signal
import sys
import threading
import time

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from pixjax.training.stop_signal import StopSignal


@pytest.fixture
def two_processes(monkeypatch):
    """This process among two; the other has received nothing. `during` is called while they exchange what they have."""
    during = []

    def allgather(mine: np.ndarray) -> np.ndarray:
        for action in during:
            action()
        return np.stack([mine, np.array(False)])

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "process_allgather", allgather)
    return during


def test_a_signal_is_agreed_on_every_ten_steps(two_processes):
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert [step for step in range(1, 31) if stop.at(step)] == [10, 20, 30]


def test_a_signal_that_comes_during_the_exchange_waits_for_the_next(two_processes):
    """The others have heard of nothing and go on: to stop here alone would leave them waiting for ever."""
    with StopSignal() as stop:
        two_processes.append(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert not stop.at(10)
        assert stop.received == "SIGTERM"
        assert stop.at(20)


@pytest.mark.usefixtures("heard_hangups")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_every_signal_that_ends_a_job_is_a_wish_to_stop(name):
    before = signal.getsignal(getattr(signal, name))
    with StopSignal() as stop:
        assert not stop.at(1)
        os.kill(os.getpid(), getattr(signal, name))
        assert stop.at(1)
        assert stop.received == name
    assert signal.getsignal(getattr(signal, name)) == before


def test_a_process_that_is_to_outlive_its_terminal_goes_on(monkeypatch):
    """As nohup starts it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.received
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_ctrl_c_that_comes_twice_at_once_is_one_and_a_second_one_ends(monkeypatch):
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == "SIGINT"
        monkeypatch.setattr(StopSignal, "SECOND_AFTER", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_is_told_once_and_never_by_its_handler(monkeypatch):
    """The handler may run in the middle of a write to the same stream."""
    told = []

    class Recorded(io.StringIO):
        def write(self, text: str) -> int:
            told.append((text, threading.current_thread() is threading.main_thread()))
            return len(text)

    monkeypatch.setattr(sys, "stderr", Recorded())
    with StopSignal("saving"):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR1)
        deadline = time.monotonic() + 240
        while not told and time.monotonic() < deadline:
            time.sleep(0.001)
    assert told == [("SIGTERM: saving\n", False)]


def test_another_thread_receives_nothing_and_changes_nothing():
    seen = []

    def run() -> None:
        with StopSignal() as stop:
            seen.append(stop.at(1))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]

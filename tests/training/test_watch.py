"""Several processes stop at one step or none does."""

import os
import signal

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from pixjax.training.watch import StopSignal


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

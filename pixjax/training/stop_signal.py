"""Signals that ask a run to end, seen between two of its steps."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixjax.streams import PATIENCE, safe


def _stop_signals() -> list[signal.Signals]:
    """The signals that ask a run to end. A SIGHUP that the process was started to ignore (nohup) stays ignored."""
    named = [getattr(signal, name, None) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")]
    return [
        number
        for number in named
        if number is not None and not (number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN)
    ]


class StopSignal:
    """Turns signals into a wish that the loop sees between two steps. A second Ctrl-C stops at once.

    The signals are SIGTERM, Ctrl-C, SIGHUP (the connection dropped) and SIGUSR1 (as SLURM's `--signal=USR1@300`). Only
    the main thread of a process may receive them: in another one nothing is ever received.
    """

    EVERY = 10  # steps between two agreements of several processes
    SECOND_AFTER = 1.0  # seconds: some launchers pass on a Ctrl-C that the terminal has sent to all processes already

    def __init__(self, doing: str = "saving after this step"):
        """`doing` is what the reader is told when the signal comes."""
        self.received = ""
        self._received_at = 0.0
        self._doing = doing
        self._entered = contextlib.ExitStack()

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is not threading.main_thread():
            return self
        numbers = _stop_signals()
        self._entered.enter_context(_announced(numbers, self._doing))
        for number in numbers:
            before = signal.signal(number, self._handle)
            self._entered.callback(signal.signal, number, signal.SIG_DFL if before is None else before)
        return self

    def __exit__(self, *_) -> None:
        self._entered.close()

    def at(self, step: int) -> bool:
        """Whether to stop before this step. Several processes agree, so that none waits for one that has left."""
        if jax.process_count() == 1:
            return bool(self.received)
        if step % self.EVERY:
            return False
        agreed = bool(np.any(multihost_utils.process_allgather(np.array(bool(self.received)))))
        if agreed:
            self.received = self.received or "a signal to another process"
        return agreed  # not what was received: a signal that came during the exchange is for the next one

    def _handle(self, number: int, _frame) -> None:
        """Writes nothing: it may have come in the middle of a write."""
        now = time.monotonic()
        if not self.received:
            self.received, self._received_at = signal.Signals(number).name, now
        elif number == signal.SIGINT and now - self._received_at >= self.SECOND_AFTER:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _announced(numbers: list[signal.Signals], doing: str) -> Iterator[None]:
    """A thread tells of the first of these signals, at once: while a program compiles, no handler runs for minutes."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    terminal = safe(sys.stderr, patience=PATIENCE)

    def tell() -> None:
        told = False
        while came := os.read(read, 1):  # empty: the other end is closed
            if came[0] in numbers and not told:
                told = True
                terminal.write(f"{signal.Signals(came[0]).name}: {doing}\n")
        os.close(read)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)
        thread.join(1.0)  # it may wait for whoever reads what it tells

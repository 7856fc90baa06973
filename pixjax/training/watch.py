"""Interruptions of a run from outside its arithmetic: signals, gradients that go bad, and the profiler."""

import collections
import contextlib
import math
import os
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from pixjax.errors import InputError, RunError
from pixjax.paths import is_remote
from pixjax.streams import PATIENCE, safe

BAD_BATCH_FILE = "bad_batch.npz"  # of the last update that was skipped, when a run stops because of them


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


class SkippedUpdates:
    """Counts updates that were skipped; a window without one forgets those before."""

    def __init__(self, limit: int):
        self._limit = limit
        self._count = 0

    def add(self, skipped: int) -> None:
        self._count = self._count + skipped if skipped else 0

    @property
    def too_many(self) -> bool:
        return self._count > self._limit

    def error(self, step: int) -> RunError:
        """For a run that stopped, and saved, because of them."""
        return RunError(
            f"{self._count} updates in a row of windows had a gradient that is not finite and were skipped, more than "
            f"training.max_skipped_updates={self._limit}: the parameters before them are saved as step {step}; lower "
            "training.learning_rate in a new --workdir that starts from this one with training.init_from; the last "
            f"batch is in {BAD_BATCH_FILE} there"
        )


class Spikes:
    """Notices when the loss or the gradient jumps above what it was of late."""

    WATCHED = ("loss", "gradient_norm")
    FACTOR = 3.0  # times the median of the windows before
    WINDOWS = 20

    def __init__(self):
        self._before: dict[str, collections.deque[float]] = {
            name: collections.deque(maxlen=self.WINDOWS) for name in self.WATCHED
        }

    def of(self, metrics: Mapping[str, float]) -> list[str]:
        """A line for each metric that jumped in this window."""
        lines = []
        for name, before in self._before.items():
            value = metrics[name]
            if len(before) >= 3 and not value <= self.FACTOR * (usual := statistics.median(before)):
                lines.append(f"{name} jumped to {value:.4g}, usual is {usual:.4g}")
            if math.isfinite(value):
                before.append(value)
        return lines


class Profile:
    """Records the steps FIRST-LAST for TensorBoard's profiler. A context manager; does nothing for an empty range."""

    def __init__(self, steps: str, folder: epath.Path | pathlib.Path):
        first, dash, last = steps.partition("-")
        if steps and not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise InputError(f"training.profile_steps={steps!r} is not a range of steps: write for instance 10-13")
        self._range = range(int(first), int(last) + 1) if steps else range(0)
        self._folder = folder
        self._running = False
        self._local: pathlib.Path | None = None

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step is dispatched."""
        if step in self._range and not self._running:
            if is_remote(self._folder):
                self._local = pathlib.Path(tempfile.mkdtemp(prefix="pixjax-profile-"))
            jax.profiler.start_trace(str(self._local or self._folder))
            self._running = True
        elif step not in self._range:
            self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            if self._local is not None:  # the profiler writes to disks alone
                for file in self._local.rglob("*"):
                    if file.is_file():
                        (self._folder / str(file.relative_to(self._local))).write_bytes(file.read_bytes())
                shutil.rmtree(self._local)

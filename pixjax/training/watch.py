"""What may end or interrupt a run from outside its arithmetic: signals, gradients that go bad, and the profiler."""

import collections
import math
import signal
import statistics
import sys
from collections.abc import Mapping

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from pixjax.errors import InputError, RunError

BAD_BATCH_FILE = "bad_batch.npz"  # of the last update that was skipped, when a run stops because of them


class StopSignal:
    """Turns SIGTERM and Ctrl-C into a wish that the loop sees between two steps. A second Ctrl-C stops at once."""

    EVERY = 10  # steps between two agreements of several processes

    def __init__(self, doing: str = "saving after this step"):
        """`doing` is what the reader is told when the signal comes."""
        self.received = ""
        self._doing = doing

    def __enter__(self) -> "StopSignal":
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

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
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        print(f"{self.received}: {self._doing}", file=sys.stderr)


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

    def __init__(self, steps: str, folder: epath.Path):
        first, dash, last = steps.partition("-")
        if steps and not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise InputError(f"training.profile_steps={steps!r} is not a range of steps: write for instance 10-13")
        self._range = range(int(first), int(last) + 1) if steps else range(0)
        self._folder = folder
        self._running = False

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step is dispatched."""
        if step in self._range and not self._running:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif step not in self._range:
            self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False

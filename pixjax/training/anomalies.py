"""Anomalies of training: updates that are skipped because their gradient is not finite, and jumps of the loss."""

import collections
import math
import statistics
from collections.abc import Mapping

from pixjax.errors import RunError

BAD_BATCH_FILE = "bad_batch.npz"  # of the last update that was skipped, when a run stops because of them


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

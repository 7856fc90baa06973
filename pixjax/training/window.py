"""The metrics between two logged steps, without making the loop wait for the device."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from pixjax.training.metrics import Totals, add_up, averages


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClosedWindow:
    step: int  # its last
    averages: dict[str, float]
    skipped_updates: int


class Window:
    """Collects the metrics of steps as they are dispatched; what is closed is fetched a step later.

    Its state goes into the checkpoint, so that a resumed run logs the averages that an uninterrupted one would have.
    """

    def __init__(self, state: Mapping[str, Any] | None = None):
        self._totals: Totals = {name: np.asarray(value) for name, value in (state or {}).items()}
        self._steps: list[Mapping[str, jax.Array]] = []
        self._closed: tuple[int, Totals, list[Mapping[str, jax.Array]]] | None = None

    def add(self, metrics: Mapping[str, jax.Array]) -> None:
        self._steps.append(metrics)

    def close(self, step: int) -> None:
        """What came so far is the window that ends at `step`."""
        self._closed = (step, self._totals, self._steps)
        self._totals, self._steps = {}, []

    def fetch(self) -> "ClosedWindow | None":
        """The closed window, once; waits for its last step."""
        if self._closed is None:
            return None
        step, totals, steps = self._closed
        self._closed = None
        totals = add_up(totals, jax.device_get(steps))
        return ClosedWindow(step=step, averages=averages(totals), skipped_updates=int(totals["skipped_updates"][0]))

    def get_state(self) -> dict[str, Any]:
        """JSON-able; floats survive it exactly."""
        self._totals, self._steps = add_up(self._totals, jax.device_get(self._steps)), []
        return {name: total.tolist() for name, total in self._totals.items()}

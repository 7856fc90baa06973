"""Metrics of training: sums and counts on the device, averages on the host over the steps of a window.

A metric on the device is an array whose last axis is (sum, count), so that steps, canvases and hosts add up exactly
and an average over a window is the average over its canvases, however they were spread. A window is fetched a step
after it was closed, so that the loop does not wait for the device.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

from pixjax.codec import TEXT, Modality

TIME_BINS = 10  # of equal width in t


def weighted(values: Float[Array, " batch"], weights: Real[Array, " batch"]) -> Float[Array, "2"]:
    return jnp.stack([jnp.sum(values * weights), jnp.sum(weights)])


def of_text(values: Float[Array, " batch"], modality: Int[Array, " batch"]) -> Float[Array, "2"]:
    return weighted(values, (modality == TEXT).astype(jnp.float32))


def by_time(
    values: Float[Array, " batch"], weights: Real[Array, " batch"], t: Float[Array, " batch"]
) -> Float[Array, "bins 2"]:
    """The same, apart for each bin of t."""
    bins = jax.nn.one_hot(jnp.clip((t * TIME_BINS).astype(jnp.int32), 0, TIME_BINS - 1), TIME_BINS)
    in_bins = functools.partial(jnp.matmul, bins.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.stack([in_bins(values * weights), in_bins(weights)], axis=-1)


def denoising_metrics(
    loss: Float[Array, " batch"],
    mse: Float[Array, " batch"],
    correct: Real[Array, " batch"],
    tokens: Real[Array, " batch"],
    t: Float[Array, " batch"],
    modality: Int[Array, " batch"],
) -> dict[str, Array]:
    """Loss, error of x and token accuracy, by modality and by bin of t.

    Args:
      loss, mse: of each canvas.
      correct, tokens: how many tokens of a canvas decode to what was painted, of how many.
    """
    metrics = {"loss": weighted(loss, jnp.ones_like(loss))}
    for kind in Modality:
        is_it = (modality == kind).astype(jnp.float32)
        metrics[f"loss/{kind}"] = by_time(loss, is_it, t)
        metrics[f"x_mse/{kind}"] = by_time(mse, is_it, t)
    is_text = (modality == TEXT).astype(jnp.float32)
    metrics["token_accuracy/text"] = by_time(correct / jnp.maximum(tokens, 1), is_text * tokens, t)
    return metrics


Totals = dict[str, np.ndarray]


def add_up(totals: Mapping[str, np.ndarray], steps: Iterable[Mapping[str, np.ndarray | Array]]) -> Totals:
    """The totals with those of further steps added, in float64."""
    totals = dict(totals)
    for step in steps:
        for name, value in step.items():
            totals[name] = totals.get(name, 0) + np.asarray(value, np.float64)
    return totals


def averages(totals: Mapping[str, np.ndarray]) -> dict[str, float]:
    """One number a metric; what had no canvas is left out."""
    flat = {}
    for name, total in totals.items():
        if total.ndim == 2:
            for index, part in enumerate(total):
                flat[f"{name}/t{index / TIME_BINS:.1f}"] = part
            total = total.sum(axis=0)
        flat[name] = total
    return {name: float(total / count) for name, (total, count) in sorted(flat.items()) if count}


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

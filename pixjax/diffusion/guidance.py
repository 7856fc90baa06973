"""Classifier-free guidance: away from what the model makes without a condition (arXiv 2207.12598)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixjax.diffusion.path import per_canvas
from pixjax.diffusion.sampler import Predict

# (z, t, the prediction before, conditions) to the clean prediction.
PredictUnder = Callable[
    [
        Float[Array, "batch height width 3"],
        Float[Array, " batch"],
        Float[Array, "batch height width 3"],
        Any,
    ],
    Float[Array, "batch height width 3"],
]


def guide(
    predict: PredictUnder,
    conditions: Any,
    without: Any,
    *,
    scale: float | Float[Array, ""],
    interval: tuple[float | Float[Array, ""], float | Float[Array, ""]] = (0.0, 1.0),
) -> Predict:
    """x̂ without the condition, plus `scale` times what the condition changes; 1 is no guidance.

    Both are predicted as one batch of twice the size.

    Args:
      conditions, without: pytrees of arrays [batch, ...], with the condition and with it hidden.
      interval: the times between which the scale holds, both included; outside it is 1 (arXiv 2404.07724).
    """

    def predict_guided(z, t, previous):
        # A canvas and its twin lie side by side, so that a batch split over devices stays where it is.
        twins = jax.tree.map(lambda a, b: jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:]), conditions, without)
        z_twice, t_twice, previous_twice = (jnp.repeat(a, 2, axis=0) for a in (z, t, previous))
        x_hat = predict(z_twice, t_twice, previous_twice, twins).reshape(-1, 2, *z.shape[1:])
        toward, away = x_hat[:, 0], x_hat[:, 1]
        strength = jnp.where((interval[0] <= t) & (t <= interval[1]), scale, 1.0)
        return away + per_canvas(strength) * (toward - away)

    return predict_guided

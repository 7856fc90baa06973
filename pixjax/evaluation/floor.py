"""What real images would score in the place of samples: as many of them, against the same others."""

from collections.abc import Callable
from typing import Any

import numpy as np

DRAWS = 5

Distances = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def beside_floor(distances: Distances, made: np.ndarray, real: np.ndarray, *, draws: int = DRAWS) -> dict[str, Any]:
    """Distances of samples to real images, and the floor: those of as many other real images.

    Most distances are the larger the fewer images they are taken from, so that a floor of more images than there are
    samples is one that no model reaches. Each draw parts the real images anew, in stand-ins, as many as there are
    samples (half of all, where these are more, and then as many samples), and the rest, to which both are compared.

    Args:
      distances: of two sets, such as `image_metrics`; of what is the case in all sets, pixels or features.
      real: two or more.

    Returns:
      The figures of the samples, means over the draws; `held_out`, those of the floor; `held_out_spread`, the standard
      deviation of each of these between draws, which is what one set of perfect samples would be off by; and `counts`:
      `samples`, `reference` (images in each draw) and `draws`.
    """
    count = min(len(made), len(real) // 2)
    ours, floor = [], []
    for draw in range(draws):
        random = np.random.default_rng((0, draw))
        order = random.permutation(len(real))
        reference = real[order[count:]]
        ours.append(distances(made[np.sort(random.permutation(len(made))[:count])], reference))
        floor.append(distances(real[order[:count]], reference))

    def over_draws(statistic: Callable[[list[float]], Any], drawn: list[dict[str, float]]) -> dict[str, float]:
        return {name: float(statistic([each[name] for each in drawn])) for name in drawn[0]}

    return {
        **over_draws(np.mean, ours),
        "held_out": over_draws(np.mean, floor),
        "held_out_spread": over_draws(lambda values: np.std(values, ddof=1), floor),
        "counts": {"samples": count, "reference": len(real) - count, "draws": draws},
    }

"""How much of x̂ is the network's: the rest is what is known without it, where the network is worse than that.

The bound holds for any x̂ that depends on the noisy canvas and its log-SNR λ alone, so for x̂' = f + a(λ)·(x̂ - f) as
well, where f is an estimate that needs no network: of images the noisy canvas itself, brought into the range of
colours, of text the matched filter of `diffusion/legal_colors.py`. a(λ) in [0, 1] is fitted on validation canvases; 0
is f, and 1 the network.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

KNOTS = 25

ALONE = np.array([0.0, 1.0])  # shares of (f, the network): the network alone
KNOWN = np.array([1.0, 0.0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix:
    """The network's share at each knot of log-SNR, and linear in between."""

    log_snr: Float[np.ndarray, " knots"]
    network: Float[np.ndarray, " knots"]

    def shares(self, log_snr: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
        """Of (f, the network)."""
        network = np.interp(log_snr, self.log_snr, self.network)
        return np.stack([1 - network, network], axis=-1)


def fit_mix(
    log_snr: Float[np.ndarray, " draws"],
    products: Float[np.ndarray, "draws 2 2"],
    low: float,
    high: float,
) -> Mix:
    """The least squares of x - f on x̂ - f around each knot, clipped to [0, 1]; neighbours stand in for a knot unseen.

    Args:
      products: as in `Draws`, of (f, the network): the inner products of x - f and x - x̂, times ½·e^λ, the weight that
        an error has in the bound.
    """
    knots = np.linspace(low, high, KNOTS)
    # x̂ - f is (x - f) - (x - x̂): what both sides of the regression need is among the products.
    known, cross, network = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
    near = np.maximum(1 - np.abs(log_snr[:, None] - knots) / (knots[1] - knots[0]), 0)
    explained, spread = (known - cross) @ near, (known - 2 * cross + network) @ near
    found = spread > 0
    if not found.any():
        return Mix(log_snr=knots, network=np.ones(KNOTS))
    share = np.clip(explained[found] / spread[found], 0, 1)
    return Mix(log_snr=knots, network=np.interp(knots, knots[found], share))

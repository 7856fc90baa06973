"""The proposal of log-SNRs at which the integrand of the bound is evaluated, learned from other canvases.

Any density that is positive everywhere gives an unbiased integral, as each draw is weighted by one over it. The one in
proportion to the root of the integrand's second moment gives the least variance (Kahn and Marshall 1953); a floor keeps
the weights finite where the other canvases found nothing.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixjax.codec.scale import Array as AnyArray

BINS = 48
FLOOR = 0.1  # share of the draws that is spread evenly: no weight is over 1 / FLOOR of an even draw's
FEWEST = 16  # draws that a second moment is taken of, or neighbours are taken together


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Proposal:
    """A piecewise constant density of log-SNR: bins of equal width, and the share of draws in each. JAX or NumPy."""

    edges: Float[AnyArray, " bins_and_one"]
    shares: Float[AnyArray, " bins"]

    def quantile(self, place: Float[Array, "..."]) -> Float[Array, "..."]:
        """The log-SNR below which a share `place` in [0, 1) of the draws lies."""
        below = jnp.concatenate([jnp.zeros(1), jnp.cumsum(self.shares)])
        return jnp.interp(place, below / below[-1], self.edges)

    def density(self, log_snr: Float[AnyArray, "..."]) -> Float[Array, "..."]:
        width = self.edges[1] - self.edges[0]
        number = jnp.clip(((log_snr - self.edges[0]) / width).astype(jnp.int32), 0, len(self.shares) - 1)
        return jnp.asarray(self.shares)[number] / width


def even(low: float, high: float) -> Proposal:
    """The uniform density, with as many bins as any other."""
    edges = np.linspace(low, high, BINS + 1, dtype=np.float32)
    return Proposal(edges=edges, shares=np.full(BINS, 1 / BINS, np.float32))


def fitted(
    log_snr: Float[np.ndarray, " draws"], integrand: Float[np.ndarray, " draws"], low: float, high: float
) -> Proposal:
    """What was seen at even draws; those outside of the range do not count.

    Where draws are few, neighbouring bins are taken for one; where there are none, the density is even.
    """
    inside = (log_snr >= low) & (log_snr < high)
    groups = int(np.clip(inside.sum() // FEWEST, 1, BINS))
    edges = np.linspace(low, high, groups + 1)
    drawn, _ = np.histogram(log_snr[inside], edges)
    total, _ = np.histogram(log_snr[inside], edges, weights=np.square(integrand[inside]))
    centres = (edges[1:] + edges[:-1]) / 2
    moment = np.interp(centres, centres[drawn > 0], (total / np.maximum(drawn, 1))[drawn > 0]) if drawn.any() else total
    # A bin is worth at least the mean of itself and a neighbour: the integrand may rise within it.
    padded = np.pad(moment, 1, mode="edge")
    moment = np.maximum(moment, np.maximum(padded[:-2] + moment, padded[2:] + moment) / 2)
    plain = even(low, high)
    bin_centres = (plain.edges[1:] + plain.edges[:-1]) / 2
    root = np.sqrt(moment)[np.clip(np.searchsorted(edges, bin_centres) - 1, 0, groups - 1)]
    if not (np.isfinite(root).all() and root.sum() > 0):
        return plain
    return Proposal(edges=plain.edges, shares=((1 - FLOOR) * root / root.sum() + FLOOR / BINS).astype(np.float32))


def stratified_log_snr(
    key: jax.Array, batch: int, num_times: int, proposal: Proposal, counted: int | Int[Array, ""]
) -> Float[Array, "batch times"]:
    """Log-SNRs of a proposal, evenly spread over a canvas's draws and the counted canvases, by one random offset.

    Each value by itself has the proposal's density, so that averages are unbiased; those of the first `counted`
    canvases together leave no gap (arXiv 2107.00630, appendix I.1).
    """
    place = (jnp.arange(num_times)[None] + jnp.arange(batch)[:, None] / counted) / num_times
    return proposal.quantile(jnp.mod(place + jax.random.uniform(key), 1.0))

"""The variational bound on -log p(x) of the Gaussian path, as in Variational Diffusion Models (arXiv 2107.00630).

    -log p(x) <= KL(q(z_0|x) || p(z_0)) + ½ ∫ e^λ E‖x - x̂(z_λ)‖² dλ + E[-log p(x|z_1)]

λ is the log-SNR of z = t·x + (1-t)·s·ε, 2 log(t / ((1-t)·s)); z_0 and z_1 are the two ends of its range, and p(z_0) is
the noise that sampling starts from. A prediction x̂ that depends on z and t alone, whatever it is, gives a valid bound.
The first term has a closed form, the last is certain where the end of the path is well chosen, and the integral is what
noisy canvases are drawn for.

Only counted pixels enter. The others (marker, PAD, pixels without a token) are then given: the bound is on
-log p(counted | others), for the model that draws the noisy others from q, as they are known. Denoising never sees
anything but the noisy canvas, so that nothing has to be told to the network.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion import noisy
from pixjax.diffusion.path import Denoise, per_canvas, time_at

BINS = 48
FLOOR = 0.1  # share of the draws that is spread evenly: no weight is over 1 / FLOOR of an even draw's
FEWEST = 16  # draws that a second moment is taken of, or neighbours are taken together


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Proposal:
    """A piecewise constant density of log-SNR: bins of equal width, and the share of draws in each. JAX or NumPy.

    Any density that is positive everywhere gives an unbiased integral, as each draw is weighted by one over it. The one
    in proportion to the root of the integrand's second moment gives the least variance (Kahn and Marshall 1953); a
    floor keeps the weights finite where the canvases that it was fitted to found nothing.
    """

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


# (x, mask, y, sigma) to -log p(x|y) of the counted pixels in nats [batch], where y = x + sigma·ε.
Reconstruct = Callable[[Array, Array, Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Draws:
    """Where the integrand was looked at, and how wrong each of some estimators is about the same noisy canvases.

    log_snr: of each noisy canvas.
    weight: of log-SNR that it stands for: one over their number and their density there.
    products: ½·e^λ·⟨x - x̂_i, x - x̂_j⟩ over the counted pixels, in nats a unit of log-SNR. JAX or NumPy.
    """

    log_snr: Float[AnyArray, "batch times"]
    weight: Float[AnyArray, "batch times"]
    products: Float[AnyArray, "batch times estimators estimators"]

    def integrand(self, shares: Float[AnyArray, "*batch_times estimators"]) -> Float[AnyArray, "batch times"]:
        """The integrand for x̂ = Σ shares_i·x̂_i, the shares summing to one; for all draws, or for each."""
        return (self.products * shares[..., :, None] * shares[..., None, :]).sum(axis=(-2, -1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bound:
    """The terms of the bound of each canvas in nats, for every endpoint at which the path may end. JAX or NumPy.

    kl: of the start of the path.
    log_snr: where the integrand was sampled, between the start and the last endpoint.
    contributions: what each sample adds to the integral over that range; their sum is the integral.
    reconstruction: of the canvas from the noisy one at each endpoint.
    """

    kl: Float[AnyArray, " batch"]
    log_snr: Float[AnyArray, "batch times"]
    contributions: Float[AnyArray, "batch times"]
    reconstruction: Float[AnyArray, "tried endpoints"]
    endpoints: tuple[float, ...]

    @property
    def diffusion(self) -> Float[AnyArray, "batch endpoints"]:
        """The integral up to each endpoint."""
        below = self.log_snr[..., None] < np.asarray(self.endpoints)[None, None]
        return (self.contributions[..., None] * below).sum(axis=1)

    @property
    def total(self) -> Float[AnyArray, "batch endpoints"]:
        return self.kl[:, None] + self.diffusion + self.reconstruction


def prior_kl(
    x: Float[Array, "batch height width 3"], mask: Bool[Array, "batch height width"], log_snr_min: float
) -> Float[Array, " batch"]:
    """The divergence of the noisiest canvas from the noise that sampling starts from: Gaussians of equal variance."""
    return 0.5 * jnp.exp(log_snr_min) * jnp.sum(jnp.where(mask[..., None], jnp.square(x), 0.0), axis=(1, 2, 3))


def draw(
    estimators: Sequence[Denoise],
    x: Float[Array, "batch height width 3"],
    mask: Bool[Array, "batch height width"],
    proposal: Proposal,
    *,
    noise_scale: float,
    num_times: int,
    key: jax.Array,
    counted: int | Int[Array, ""] | None = None,
) -> Draws:
    """`num_times` noisy canvases of each canvas, for an unbiased estimate of the integral over the proposal's range.

    Args:
      estimators: (z, t) to a clean prediction; each is called once a time, in sequence.
      x: in [-1, 1].
      mask: the pixels that are counted.
      proposal: the density of their log-SNR.
      counted: canvases that are, the first of the batch; None is all. The times are spread over them.
      key: two calls with the same key and proposal look at the same noisy canvases.
    """
    time_key, noise_key = jax.random.split(key)
    log_snr = stratified_log_snr(time_key, len(x), num_times, proposal, len(x) if counted is None else counted)

    def products(inputs) -> Float[Array, "batch estimators estimators"]:
        time_noise_key, log_snr_B = inputs
        t = time_at(log_snr_B, noise_scale)
        z = noisy(x, jax.random.normal(time_noise_key, x.shape), t, noise_scale)
        errors = [jnp.where(mask[..., None], x - denoise(z, t), 0.0) for denoise in estimators]
        inner = jnp.stack([jnp.stack([jnp.sum(a * b, axis=(1, 2, 3)) for a in errors], -1) for b in errors], -1)
        return 0.5 * jnp.exp(log_snr_B)[:, None, None] * inner

    products_TBEE = jax.lax.map(products, (jax.random.split(noise_key, num_times), log_snr.T))
    weight = 1 / (num_times * proposal.density(log_snr))
    return Draws(log_snr=log_snr, weight=weight, products=jnp.moveaxis(products_TBEE, 0, 1))


def reconstruction_at(
    log_snr: float | Float[Array, ""],
    reconstruct: Reconstruct,
    x: Float[Array, "batch height width 3"],
    mask: Bool[Array, "batch height width"],
    key: jax.Array,
) -> Float[Array, " batch"]:
    """The reconstruction of the canvas from the noisy one at the end of the path; a key means one noise at all ends."""
    sigma = jnp.full(len(x), jnp.exp(-0.5 * log_snr))
    return reconstruct(x, mask, x + per_canvas(sigma) * jax.random.normal(key, x.shape), sigma)

"""Where along the path the information is: a running estimate of the nats that each log-SNR takes from the data.

At log-SNR λ a canvas costs ½·e^λ·E|x - x̂|² nats a dimension and unit of λ (I-MMSE, Guo et al. 2005). A law of t with
this density, as the network has it so far, spends every update where there is something to learn: the time warping of
CDCD (arXiv 2211.15089), which fits the cross-entropy over time, found without a fit.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixjax.codec import IMAGE, TEXT
from pixjax.config import TimeConfig, parse_time_law
from pixjax.diffusion.path import log_snr_at, time_at

BINS = 64
FLOOR = 0.05  # share of the times that are spread evenly, so that no log-SNR is lost sight of
MEMORY = 0.99  # of what was seen, how much is left after an update
_HARDLY = 0.1  # of a canvas

# By modality, sums over the canvases of a bin of log-SNR: of nats a dimension and unit of log-SNR, and of canvases.
Information = dict[str, Float[Array, "2 bins"]]


def no_information(config: TimeConfig) -> Information:
    """Before the first update, for the modalities whose law is adaptive."""
    return {name: jnp.zeros((2, BINS)) for name, *_ in _adaptive(config)}


def seen_information(
    config: TimeConfig,
    mse: Float[Array, " batch"],
    t: Float[Array, " batch"],
    modality: Int[Array, " batch"],
    noise_scale: float,
) -> Information:
    """What the canvases of one batch say."""
    log_snr = log_snr_at(t, noise_scale)
    seen = {}
    for name, value, low, high in _adaptive(config):
        nats = jnp.where(modality == value, 0.5 * jnp.exp(log_snr) * mse, 0.0)
        place = jnp.clip(((log_snr - low) / (high - low) * BINS).astype(jnp.int32), 0, BINS - 1)
        bins = jax.nn.one_hot(place, BINS) * (modality == value)[:, None]
        seen[name] = jnp.stack([jnp.matmul(nats, bins, precision=jax.lax.Precision.HIGHEST), bins.sum(axis=0)])
    return seen


def _adaptive(config: TimeConfig) -> Iterator[tuple[str, int, float, float]]:
    """Name, modality and bounds of each adaptive law."""
    for name, value, law in (("text", TEXT, config.text), ("image", IMAGE, config.image)):
        kind, numbers = parse_time_law(law)
        if kind == "adaptive":
            yield name, value, numbers[0], numbers[1]


def remember(information: Information, seen: Information) -> Information:
    """The running sums after one more update."""
    return jax.tree.map(lambda old, new: MEMORY * old + new, information, seen)


def draw_times(
    key: jax.Array,
    shape: tuple[int, ...],
    information: Float[Array, "2 bins"],
    low: float,
    high: float,
    noise_scale: float,
) -> Float[Array, "..."]:
    """Times whose log-SNR lies between two and has the density of the information that was seen there."""
    nats, canvases = information
    # A bin that was hardly seen is taken for an average one; as long as no information was found, all are.
    average = jnp.mean(nats / jnp.maximum(canvases, _HARDLY))
    density = jnp.where(average > 0, (nats + _HARDLY * average) / (canvases + _HARDLY), 1.0)
    share = (1 - FLOOR) * density / density.sum() + FLOOR / BINS
    at_edges = jnp.concatenate([jnp.zeros(1), jnp.cumsum(share)])
    log_snr = jnp.interp(jax.random.uniform(key, shape), at_edges / at_edges[-1], jnp.linspace(low, high, BINS + 1))
    return time_at(log_snr, noise_scale)

"""The law from which t is drawn in training; each modality has its own, and the adaptive one follows the information.

The information is a running estimate of the nats that each log-SNR takes from the data. At log-SNR λ a canvas costs
½·e^λ·E|x - x̂|² nats a dimension and unit of λ (I-MMSE, Guo et al. 2005). A law of t with this density, as the network
has it so far, spends every update where there is something to learn: the time warping of CDCD (arXiv 2211.15089), which
fits the cross-entropy over time, found without a fit.

That holds for text that a text head reads, whose error goes to zero as fast as the noise does. The error of a pixel
head does not: multiplied by e^λ it grows without bound toward the data, where nothing is left to learn, and a law that
took it for information would go there. So only what the head has read is counted, and other laws are not adaptive.
"""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import TEXT
from pixjax.config import Config, TimeConfig
from pixjax.diffusion.path import log_snr_at, time_at
from pixjax.errors import InputError
from pixjax.notation import parse_time_law

BINS = 64
FLOOR = 0.05  # share of the times that are spread evenly, so that no log-SNR is lost sight of
MEMORY = 0.99  # of what was seen, how much is left after an update
_HARDLY = 0.1  # of a canvas

# Most nats a dimension and unit of log-SNR: what the noisy canvas itself costs as x̂, for it is e^-λ from the data.
MOST = 0.5

# By modality, sums over the canvases of a bin of log-SNR: of nats a dimension and unit of log-SNR, and of canvases.
Information = dict[str, Float[Array, "2 bins"]]


def no_information(config: TimeConfig) -> Information:
    """Before the first update, if the law of text is adaptive; no other may be, see `require_measurable`."""
    return {"text": jnp.zeros((2, BINS))} if parse_time_law(config.text)[0] == "adaptive" else {}


def seen_information(
    config: TimeConfig,
    mse: Float[Array, " batch"],
    t: Float[Array, " batch"],
    is_read: Bool[Array, " batch"],
    noise_scale: float,
) -> Information:
    """What the canvases of one batch say: those of text that the text head has read, and no others."""
    kind, numbers = parse_time_law(config.text)
    if kind != "adaptive":
        return {}
    low, high = numbers
    log_snr = log_snr_at(t, noise_scale)
    nats = jnp.where(is_read, jnp.minimum(0.5 * jnp.exp(log_snr) * mse, MOST), 0.0)
    place = jnp.clip(((log_snr - low) / (high - low) * BINS).astype(jnp.int32), 0, BINS - 1)
    bins = jax.nn.one_hot(place, BINS) * is_read[:, None]
    return {"text": jnp.stack([jnp.matmul(nats, bins, precision=jax.lax.Precision.HIGHEST), bins.sum(axis=0)])}


def require_measurable(config: Config) -> None:
    """Raises `InputError` for an adaptive law of canvases whose information is not measured: those of a pixel head."""
    for name, law, is_read in (
        ("text", config.diffusion.time.text, config.model.codebook_head),
        ("image", config.diffusion.time.image, False),
    ):
        if parse_time_law(law)[0] == "adaptive" and not is_read:
            remedy = ", or model.codebook_head=True" if name == "text" else ""
            raise InputError(
                f"diffusion.time.{name}={law!r} measures the information of text that a text head reads, and the "
                f"pixel head predicts this {name}: set logit_normal:MEAN:STD or log_snr:MIN:MAX{remedy}"
            )


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


@runtime_checkable
class TimeLaw(Protocol):
    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Times in (0, 1)."""


@dataclasses.dataclass(frozen=True)
class Uniform:
    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return jax.random.uniform(key, shape)


@dataclasses.dataclass(frozen=True)
class LogitNormal:
    """sigmoid(mean + std·n) with n standard normal (SD3, arXiv 2403.03206; JiT trains with -0.8, 0.8)."""

    mean: float
    std: float

    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(self.mean + self.std * jax.random.normal(key, shape))


@dataclasses.dataclass(frozen=True)
class LogSnr:
    """Uniform in the log-SNR, between two of them, where 1 - t is multiplied by `noise_scale`."""

    low: float
    high: float
    noise_scale: float

    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return time_at(jax.random.uniform(key, shape, minval=self.low, maxval=self.high), self.noise_scale)


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """Between two log-SNRs, where the run has found information; evenly as long as it has found none (None)."""

    low: float
    high: float
    noise_scale: float
    information: Float[Array, "2 bins"] | None

    def sample(self, key: jax.Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        information = jnp.zeros((2, BINS)) if self.information is None else self.information
        return draw_times(key, shape, information, self.low, self.high, self.noise_scale)


def time_law(text: str, noise_scale: float = 1.0, information: Float[Array, "2 bins"] | None = None) -> TimeLaw:
    """Reads what `TimeConfig` holds; raises `InputError` for anything else.

    `log_sigma` is EDM's (arXiv 2206.00364): log σ of z / t is normal, which is a logit-normal t.
    """
    name, parameters = parse_time_law(text)
    if name == "uniform":
        return Uniform()
    first, second = parameters
    if name == "log_snr":
        return LogSnr(first, second, noise_scale)
    if name == "adaptive":
        return Adaptive(first, second, noise_scale, information)
    return LogitNormal(first if name == "logit_normal" else math.log(noise_scale) - first, second)


def sample_times(
    key: jax.Array,
    modality: Int[Array, " batch"],
    config: TimeConfig,
    noise_scale: float = 1.0,
    information: Information | None = None,
) -> Float[Array, " batch"]:
    """A time for each canvas, from the law of its modality."""
    text_key, image_key = jax.random.split(key)
    known = information or {}
    text = time_law(config.text, noise_scale, known.get("text")).sample(text_key, modality.shape)
    image = time_law(config.image, noise_scale, known.get("image")).sample(image_key, modality.shape)
    return jnp.where(modality == TEXT, text, image)

"""From which law t is drawn in training; each modality has its own."""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixjax.codec import TEXT
from pixjax.config import TimeConfig, parse_time_law
from pixjax.diffusion.information import BINS, Information, draw_times
from pixjax.diffusion.path import time_at


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

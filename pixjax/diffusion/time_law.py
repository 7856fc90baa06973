"""From which law t is drawn in training; each modality has its own."""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixjax.codec import TEXT
from pixjax.config import TimeConfig, parse_time_law


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


def time_law(text: str) -> TimeLaw:
    """Reads `uniform` or `logit_normal:MEAN:STD`; raises `InputError` for anything else."""
    name, parameters = parse_time_law(text)
    return Uniform() if name == "uniform" else LogitNormal(*parameters)


def sample_times(key: jax.Array, modality: Int[Array, " batch"], config: TimeConfig) -> Float[Array, " batch"]:
    """A time for each canvas, from the law of its modality."""
    text_key, image_key = jax.random.split(key)
    text = time_law(config.text).sample(text_key, modality.shape)
    image = time_law(config.image).sample(image_key, modality.shape)
    return jnp.where(modality == TEXT, text, image)

"""Which type condition a canvas of a known modality is denoised under."""

import jax.numpy as jnp
from jaxtyping import Array, Int

from pixjax.codec import TEXT
from pixjax.config import ModelConfig
from pixjax.models.jit import NO_TYPE


def type_condition(config: ModelConfig, modality: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """Type ids for `JiT`: none at all without a type condition; text has one only where the config gives it one."""
    if not config.uses_condition:
        return jnp.full_like(modality, NO_TYPE)
    if config.text_condition:
        return modality
    return jnp.where(modality == TEXT, NO_TYPE, modality)


def text_types(config: ModelConfig) -> tuple[int, ...]:
    """The type ids under which a canvas is known to be text.

    With `tagging="none"` every canvas is; with a marker alone none is known to be.
    """
    if not config.uses_condition:
        return () if config.uses_marker else (NO_TYPE,)
    return (TEXT,) if config.text_condition else (NO_TYPE, TEXT)

"""The ways in which a denoiser is told the modality of a canvas: its type condition, or its marker."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixjax.codec import TEXT, CanvasCodec
from pixjax.config import Config, ModelConfig
from pixjax.models.jit import NO_TYPE


def type_condition(config: ModelConfig, modality: Int[Array, " batch"]) -> Int[Array, " batch"]:
    """Type ids for `JiT`: none at all without a type condition; text has one only where the config gives it one."""
    if not config.uses_condition:
        return jnp.full_like(modality, NO_TYPE)
    if config.text_condition:
        return modality
    return jnp.where(modality == TEXT, NO_TYPE, modality)


def tell(
    config: Config, codec: CanvasCodec, z: Float[Array, "batch height width 3"], modality: Int[Array, " batch"]
) -> tuple[Float[Array, "batch height width 3"], Int[Array, " batch"]]:
    """Noisy canvases and their type ids as the model takes them where their modality is known."""
    return marker_first(config, codec, z, modality), type_condition(config.model, modality)


def marker_first(
    config: Config, codec: CanvasCodec, z: Float[Array, "batch height width 3"], modality: Int[Array, " batch"]
) -> Float[Array, "batch height width 3"]:
    """Noisy canvases whose marker is painted, without noise, where the run decides it before all else."""
    return codec.mark(z, modality) if config.diffusion.marker_first else z


def text_types(config: ModelConfig) -> tuple[int, ...]:
    """The type ids under which a canvas is known to be text.

    With `tagging="none"` every canvas is; with a marker alone none is: `Palette.reads_marker`.
    """
    if not config.uses_condition:
        return () if config.uses_marker else (NO_TYPE,)
    return (TEXT,) if config.text_condition else (NO_TYPE, TEXT)

"""The denoiser: `JiT` and the sizes that it comes in."""

from pixjax.models.condition import type_condition
from pixjax.models.jit import NO_LABEL, NO_TYPE, Context, JiT, Params, denoise
from pixjax.models.presets import VARIANTS, Architecture, architecture

__all__ = [
    "NO_LABEL",
    "NO_TYPE",
    "VARIANTS",
    "Architecture",
    "Context",
    "JiT",
    "Params",
    "architecture",
    "denoise",
    "type_condition",
]

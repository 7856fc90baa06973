"""The denoiser: `JiT` and the sizes that it comes in."""

from pixjax.diffusion.posterior import Palette
from pixjax.models.condition import marker_first, tell, text_types, type_condition
from pixjax.models.jit import NO_LABEL, NO_TYPE, Context, JiT, Params, Prediction, Written, denoise, predict
from pixjax.models.presets import VARIANTS

__all__ = [
    "NO_LABEL",
    "NO_TYPE",
    "VARIANTS",
    "Context",
    "JiT",
    "Palette",
    "Params",
    "Prediction",
    "Written",
    "denoise",
    "marker_first",
    "predict",
    "tell",
    "text_types",
    "type_condition",
]

"""The Gaussian path between noise (t = 0) and a clean canvas (t = 1), learned as the clean canvas."""

from pixjax.diffusion.decision_order import WHOLE, DecisionOrder
from pixjax.diffusion.guidance import guide
from pixjax.diffusion.infill import Known, keep_known
from pixjax.diffusion.loss import denoising_loss, reading_loss
from pixjax.diffusion.path import Denoise, noisy, noisy_blocks
from pixjax.diffusion.posterior import matched_filter, project
from pixjax.diffusion.sampler import ONCE, Frames, Predict, Repeats, sample
from pixjax.diffusion.time_grid import time_grid, time_grids
from pixjax.diffusion.time_law import (
    Information,
    no_information,
    remember,
    require_measurable,
    sample_times,
    seen_information,
    time_law,
)

__all__ = [
    "ONCE",
    "WHOLE",
    "DecisionOrder",
    "Denoise",
    "Frames",
    "Information",
    "Known",
    "Predict",
    "Repeats",
    "denoising_loss",
    "guide",
    "keep_known",
    "matched_filter",
    "no_information",
    "noisy",
    "noisy_blocks",
    "project",
    "reading_loss",
    "remember",
    "require_measurable",
    "sample",
    "sample_times",
    "seen_information",
    "time_grid",
    "time_grids",
    "time_law",
]

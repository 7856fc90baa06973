"""The Gaussian path between noise (t = 0) and a clean canvas (t = 1), learned as the clean canvas."""

from pixjax.diffusion.loss import denoising_loss
from pixjax.diffusion.path import noisy
from pixjax.diffusion.sampler import Pinned, sample
from pixjax.diffusion.time_law import sample_times, time_law

__all__ = ["Pinned", "denoising_loss", "noisy", "sample", "sample_times", "time_law"]

"""The times that a sampler visits, from noise (0) to data (1)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixjax.codec import TEXT
from pixjax.config import GridConfig
from pixjax.notation import parse_grid


def time_grid(text: str, steps: int, noise_scale: float) -> Float[np.ndarray, " steps_plus_one"]:
    """Ascending times, the first 0 and the last 1, both exact; float32.

    `uniform` is uniform in t. `log_snr:MIN:MAX` is uniform in the log-SNR, and `edm:SIGMA_MIN:SIGMA_MAX:RHO` in
    σ^(1/RHO), with σ = (1-t)·s / t (arXiv 2206.00364, equation 5). Both have `steps` values from the noisiest to the
    cleanest, where the last prediction is made; the noisiest stands for t = 0, at which the path is known to be noise
    and nothing else.

    Raises:
      InputError: an unknown grid.
    """
    name, numbers = parse_grid(text)
    if name == "uniform":
        return np.linspace(0.0, 1.0, steps + 1).astype(np.float32)
    if name == "log_snr":
        sigma = np.exp(-0.5 * np.linspace(numbers[0], numbers[1], steps))
    else:
        low, high, rho = numbers
        sigma = np.linspace(high ** (1 / rho), low ** (1 / rho), steps) ** rho
    inner = noise_scale / (noise_scale + sigma[1:])
    return np.concatenate([[0.0], inner, [1.0]]).astype(np.float32)


def time_grids(
    config: GridConfig, modality: Int[np.ndarray, " batch"], steps: int, noise_scale: float
) -> Float[np.ndarray, "steps_plus_one batch"]:
    """The grid of each canvas, by its modality."""
    text, image = (time_grid(grid, steps, noise_scale) for grid in (config.text, config.image))
    return np.where(np.asarray(modality) == TEXT, text[:, None], image[:, None])


def ahead(
    grid: Float[Array, "steps_plus_one batch"], asymmetry: float | Float[Array, ""]
) -> Float[Array, "steps batch"]:
    """Where each step leads when the canvas runs ahead of the time that the network is told, by a share of a step.

    The asymmetric time intervals of Bit Diffusion (arXiv 2208.04202); 0 is the grid itself.
    """
    last = len(grid) - 1
    place = jnp.minimum(jnp.arange(1, last + 1) + asymmetry, last)
    below = jnp.minimum(place.astype(jnp.int32), last - 1)
    share = (place - below)[:, None]
    return (1 - share) * grid[below] + share * grid[below + 1]

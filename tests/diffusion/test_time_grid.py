"""Which times a sampler visits."""

import numpy as np
import pytest

from pixjax.config import GridConfig
from pixjax.diffusion import time_grid, time_grids
from pixjax.errors import InputError


@pytest.mark.parametrize("steps", [1, 2, 50])
@pytest.mark.parametrize("grid", ["uniform", "log_snr", "log_snr:-25:25", "edm", "edm:0.01:1000:3"])
def test_every_grid_ascends_from_noise_to_data(grid, steps):
    times = time_grid(grid, steps, noise_scale=1.5)
    assert (len(times), times[0], times[-1]) == (steps + 1, 0.0, 1.0)
    assert (np.diff(times) > 0).all()


def test_log_snr_is_what_its_grid_is_uniform_in():
    inner = time_grid("log_snr:-8:6", 8, noise_scale=2.0)[1:-1].astype(np.float64)
    np.testing.assert_allclose(2 * np.log(inner / ((1 - inner) * 2.0)), np.linspace(-8, 6, 8)[1:], atol=1e-4)


def test_the_grid_of_edm():
    """Equation 5 of Karras et al. for 18 steps; the first noise level is taken as infinite."""
    inner = time_grid("edm", 18, noise_scale=1.0)[1:-1].astype(np.float64)
    sigma = (80 ** (1 / 7) + np.arange(18) / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose((1 - inner) / inner, sigma[1:], rtol=1e-4)
    np.testing.assert_allclose(sigma[[1, -1]], [57.586, 0.002], rtol=1e-3)


def test_each_modality_has_its_own_grid():
    grids = time_grids(GridConfig(text="log_snr:-5:5", image="uniform"), np.array([1, 0]), 4, 1.0)
    np.testing.assert_array_equal(grids[:, 0], time_grid("uniform", 4, 1.0))
    np.testing.assert_array_equal(grids[:, 1], time_grid("log_snr:-5:5", 4, 1.0))


@pytest.mark.parametrize(
    "grid",
    ["linear", "uniform:1", "log_snr:3", "log_snr:5:-5", "log_snr:a:b", "log_snr:nan:3", "edm:80:0.002", "edm:0:80"],
)
def test_unknown_grids_are_refused(grid):
    with pytest.raises(InputError, match=r"grid '.*' is unknown: write uniform, log_snr:MIN:MAX"):
        GridConfig(text=grid)

"""Distances between sets of features, where Gaussians and squares have known answers."""

import numpy as np
import pytest

from pixjax.errors import InputError
from pixjax.evaluation.inception import frechet_distance, kernel_distance, precision_recall


def gaussian(seed: int, count: int, features: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, features))


@pytest.mark.usefixtures("torch_fidelity")
def test_the_frechet_distance_of_gaussians_is_that_of_their_moments():
    """Whitened draws have the moments exactly: |m|² + Σ (√a - √b)² for commuting covariances."""
    white = gaussian(0, 500)
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white.T))).T
    rotation = np.linalg.qr(gaussian(1, 4))[0]
    ours, theirs = (white * np.sqrt([1, 4, 9, 0.25])) @ rotation, (white * np.sqrt([4, 1, 9, 1])) @ rotation + 2
    expected = 4 * 2**2 + 1 + 1 + 0 + 0.25
    assert frechet_distance(ours, theirs) == pytest.approx(expected)


@pytest.mark.usefixtures("torch_fidelity")
def test_the_frechet_distance_of_covariances_that_do_not_commute():
    """By the eigenvalues of their product."""
    ours, theirs = gaussian(0, 60) @ gaussian(1, 4), gaussian(2, 90) @ gaussian(3, 4)
    covariances = np.cov(ours.T), np.cov(theirs.T)
    root = np.sum(np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real))
    expected = np.sum((ours.mean(0) - theirs.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1]) - 2 * root
    assert frechet_distance(ours, theirs) == pytest.approx(expected)


@pytest.mark.usefixtures("torch_fidelity")
def test_equal_sets_are_at_distance_0_and_never_below():
    """To half of the digits where there are fewer rows than features."""
    for rows in (5, 60):
        ours = gaussian(0, rows, 12)
        assert 0 <= frechet_distance(ours, ours[::-1]) < 1e-5


@pytest.mark.usefixtures("torch_fidelity")
def test_equal_sets_cover_one_another():
    few = gaussian(0, 5, 12)
    assert precision_recall(few, few[::-1], k=2) == (1, 1)


@pytest.mark.usefixtures("torch_fidelity")
def test_of_the_larger_set_subsets_have_as_many_rows_as_the_smaller_one():
    """All of them together are all of it, so that the mean over many is near the distance of the whole sets."""
    small, large = gaussian(0, 60), gaussian(1, 240) + 0.5
    found = [kernel_distance(small, large, num_subsets=number) for number in (100, 400)]
    parts = [kernel_distance(small, large[start : start + 60])[0] for start in range(0, 240, 60)]
    assert found[0][0] == pytest.approx(np.mean(parts), abs=4 * found[0][1] / 10)
    assert found[1][0] == pytest.approx(np.mean(parts), abs=4 * found[1][1] / 20)
    assert found[0][1] > 0


@pytest.mark.usefixtures("torch_fidelity")
def test_the_kernel_distance_of_gaussians_is_unbiased():
    """In one dimension with means 0 and a, by the moments 1, a² + 1, a³ + 3a of the kernel x³y³ + 3x²y² + 3xy + 1."""
    a = 0.5
    m1, m2, m3 = a, 1 + a**2, a**3 + 3 * a
    expected = 4 + (m3**2 + 3 * m2**2 + 3 * m1**2 + 1) - 2 * (3 * m2 + 1)
    estimates = [
        kernel_distance(gaussian(2 * seed, 40, 1), gaussian(2 * seed + 1, 40, 1) + a)[0] for seed in range(400)
    ]
    assert np.mean(estimates) == pytest.approx(expected, abs=3 * np.std(estimates) / 20)
    equal = [kernel_distance(gaussian(2 * seed, 20, 1), gaussian(2 * seed + 1, 20, 1))[0] for seed in range(400)]
    assert np.mean(equal) == pytest.approx(0, abs=3 * np.std(equal) / 20)
    assert min(equal) < 0


@pytest.mark.usefixtures("torch_fidelity")
def test_subsets_agree_with_the_whole():
    ours, theirs = gaussian(0, 400), gaussian(1, 400) + 1
    whole, deviation = kernel_distance(ours, theirs)
    mean, spread = kernel_distance(ours, theirs, subset_size=50, num_subsets=60)
    assert deviation == 0
    assert mean == pytest.approx(whole, rel=0.1)
    assert spread > 0
    assert kernel_distance(ours, theirs, subset_size=50) == kernel_distance(ours, theirs, subset_size=50)


@pytest.mark.usefixtures("torch_fidelity")
def test_precision_falls_with_what_is_unreal_and_recall_with_what_is_missing():
    real = np.concatenate([gaussian(0, 100), gaussian(1, 100) + 50])
    half, strange = gaussian(2, 200), np.concatenate([real, gaussian(3, 200) - 50])
    precision, recall = precision_recall(half, real)
    assert precision > 0.8
    assert recall < 0.5
    precision, recall = precision_recall(strange, real)
    assert precision == pytest.approx(0.5, abs=0.02)
    assert recall == 1
    assert precision_recall(real + 1000, real) == (0, 0)


@pytest.mark.usefixtures("torch_fidelity")
def test_balls_reach_to_the_kth_neighbour():
    """On a line 0, 1, 3 the first neighbours are at 1, 1 and 2."""
    real = np.array([[0.0], [1], [3]])
    points = np.array([[-0.9], [-1.1], [4.9], [5.1]])
    assert precision_recall(points, real, k=1)[0] == pytest.approx(2 / 4)


def test_features_that_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="n at least 2"):
        frechet_distance(gaussian(0, 1), gaussian(1, 5))
    with pytest.raises(InputError, match="n at least 4"):
        precision_recall(gaussian(0, 3), gaussian(1, 5))
    with pytest.raises(InputError, match="cannot be compared"):
        kernel_distance(gaussian(0, 5, 3), gaussian(1, 5, 4))

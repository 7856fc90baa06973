"""Distances between sets of images: 0 for equal sets, known values for known sets, and more with more noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.errors import InputError
from pixjax.evaluation.image_metrics import image_metrics, nearest_neighbours, power_spectrum, sliced_wasserstein


def smooth_images(seed: int, count: int = 24, size: int = 32) -> np.ndarray:
    """Random waves of low frequency, in colours that go together."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    fx, fy, phase = (random.uniform(0, high, (count, 1, 1)) for high in (3, 3, 7))
    wave = np.sin(2 * np.pi * (fx * x + fy * y) + phase)[..., None]
    return np.clip(128 + wave * random.uniform(20, 90, (count, 1, 1, 3)), 0, 255).astype(np.uint8)


def noised(images: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, level, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [16, 33, 64])
def test_equal_sets_are_at_distance_0(size):
    images = smooth_images(0, 6, size)
    found = image_metrics(images, images.copy())
    assert set(found.values()) == {0.0}
    levels = {16: [16], 33: [33, 17], 64: [64, 32, 16]}[size]
    assert [name for name in found if name.startswith("swd/")] == [f"swd/{level}" for level in levels] + ["swd/mean"]


def test_more_noise_is_a_greater_distance_above_that_of_two_real_halves():
    real, floor = smooth_images(0), image_metrics(smooth_images(1), smooth_images(0))
    found = [image_metrics(noised(smooth_images(1), level), real) for level in (4, 12, 40)]
    for name in ("swd/32", "swd/mean", "spectrum"):
        values = [floor[name], *(each[name] for each in found)]
        assert (np.diff(values) > 0).all(), (name, values)
    for name in ("color/correlation", "color/std"):
        assert found[2][name] > floor[name]


def test_distances_are_functions_of_their_seed():
    ours, theirs = smooth_images(0), smooth_images(1)
    assert image_metrics(ours, theirs, seed=3) == image_metrics(ours, theirs, seed=3)
    assert image_metrics(ours, theirs, seed=3)["swd/32"] != image_metrics(ours, theirs, seed=4)["swd/32"]


def test_the_images_of_a_larger_set_are_used_as_far_as_the_smaller_reaches():
    ours, theirs = smooth_images(0), smooth_images(1)
    assert sliced_wasserstein(ours[:5], theirs) == sliced_wasserstein(ours[:5], theirs[:5])


def test_a_pyramid_adds_up_to_its_image():
    """A level that was shifted or scaled wrongly would leave the image's structure in the next finer one."""
    from pixjax.evaluation.image_metrics import _laplacian_pyramid

    linear = np.broadcast_to(np.arange(32.0, dtype=np.float32)[:, None, None], (1, 32, 32, 3))
    detail, rest = _laplacian_pyramid(linear)
    assert rest.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(detail[:, 4:-4, 4:-4], 0, atol=1e-4)
    np.testing.assert_allclose(rest[0, 2:-2, 5, 0], 2 * np.arange(2, 14), atol=1e-4)


def test_color_distances_of_constant_images():
    black, color = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((3, 16, 16, 3), np.uint8)
    color[...] = (30, 40, 0)
    found = image_metrics(color, black)
    assert found["color/mean"] == pytest.approx(50)
    assert found["color/std"] == pytest.approx(0)
    assert found["color/correlation"] == 0
    assert [found[f"color/histogram/{name}"] for name in ("red", "green", "blue")] == pytest.approx([30, 40, 0])


def test_color_distances_of_two_values_a_channel():
    """Red and green together against red and green opposed: equal histograms, opposite correlation."""
    together, opposed = np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3), np.uint8)
    together[:, 8:, :, :2] = 100
    opposed[:, 8:, :, 0], opposed[:, :8, :, 1] = 100, 100
    found = image_metrics(together, opposed)
    assert found["color/correlation"] == pytest.approx(2)
    assert found["color/mean"] == found["color/std"] == found["color/histogram/red"] == pytest.approx(0)
    assert image_metrics(together, np.zeros_like(together))["color/std"] == pytest.approx(50 * 2**0.5)


def test_the_spectrum_of_white_noise_is_flat_and_that_of_a_wave_a_peak():
    noise = noised(np.full((40, 32, 32, 3), 128, np.uint8), 20)
    np.testing.assert_allclose(power_spectrum(noise), 400 + 1 / 6, rtol=0.12)
    wave = 128 + 100 * np.sin(2 * np.pi * 5 * np.arange(32) / 32)
    images = np.broadcast_to(np.rint(wave).astype(np.uint8)[None, :, None, None], (1, 32, 32, 3))
    assert np.argmax(power_spectrum(images)) + 1 == 5
    assert power_spectrum(images)[9] < 1


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.sampled_from([8, 11, 16, 32]), st.integers(0, 100))
def test_nearest_neighbours_are_those_of_brute_force(k, size, seed):
    ours, training = smooth_images(seed, 4, 16), smooth_images(seed + 1, 30, 16)
    index, distance = nearest_neighbours(ours, training, k=k, size=size)
    assert index.shape == distance.shape == (4, k)
    if size >= 16:  # nothing is averaged
        apart = np.sqrt(np.mean((ours[:, None].astype(float) - training) ** 2, axis=(2, 3, 4)))
        np.testing.assert_allclose(distance, np.sort(apart, axis=1)[:, :k])
        np.testing.assert_allclose(np.take_along_axis(apart, index, axis=1), distance)


def test_a_copy_is_found_across_parts_at_distance_0(monkeypatch):
    monkeypatch.setattr("pixjax.evaluation.image_metrics._AT_A_TIME", 16 * 16 * 3 * 7)
    training = noised(smooth_images(2, 50, 16), 10)
    index, distance = nearest_neighbours(training[[3, 41]], training, k=2, size=5)
    assert index[:, 0].tolist() == [3, 41]
    assert (distance[:, 0] == 0).all()
    assert (distance[:, 1] > 0).all()


def test_a_brighter_image_is_as_far_as_it_is_brighter():
    image = np.full((1, 33, 33, 3), 100, np.uint8)
    _, distance = nearest_neighbours(image + 7, image, size=10)
    np.testing.assert_allclose(distance, 7, rtol=1e-5)


def test_images_that_cannot_be_compared_are_refused():
    images = smooth_images(0, 2)
    for wrong in (images[:, :16], images[:, :8, :8], images[0], images[:, :16, :16]):
        with pytest.raises(InputError, match="of one size, 16 pixels or more"):
            image_metrics(images, wrong)
    for wrong in (images[:0], images.astype(float)):
        with pytest.raises(InputError, match="give uint8, at least one"):
            image_metrics(images, wrong)

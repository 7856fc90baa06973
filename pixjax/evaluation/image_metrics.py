"""Distances between generated and real images, from pixels alone or from the features of any network.

Each distance stands beside its floor: what real images would score in the place of the samples.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from pixjax.errors import InputError

Images = UInt8[np.ndarray, "_n height width 3"]
Features = Float[np.ndarray, "_n features"]

SMALLEST_LEVEL = 16  # pixels a side of the coarsest level of a pyramid
PATCH = 7  # pixels a side of the patches that are compared
_BLUR = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_AT_A_TIME = 1 << 22  # pixels, or distances, held in floats at once


def image_metrics(generated: Images, real: Images, *, seed: int = 0) -> dict[str, float]:
    """Distances between two sets of images, each 0 for equal sets; those of two halves of the real ones are the floor.

    Returns:
      `swd/SIZE`, `swd/mean`: sliced Wasserstein distance by level of the pyramid, see `sliced_wasserstein`.
      `color/mean`, `color/std`: Euclidean distance of the three channels' mean and deviation over all pixels, in levels
      of 255. `color/correlation`: the largest difference between the correlations of two channels, 0 to 2.
      `color/histogram/red` (`green`, `blue`): 1-Wasserstein distance of the values of a channel, in levels of 255.
      `spectrum`: mean absolute difference of the power at each spatial frequency, in decibels; see `power_spectrum`.

    Raises:
      InputError: sets that are empty or not of one square size of at least 16 pixels.
    """
    _require_alike(generated, real)
    levels = sliced_wasserstein(generated, real, seed=seed)
    swd = {f"swd/{size}": distance for size, distance in levels.items()}
    decibels = [10 * np.log10(power_spectrum(images)) for images in (generated, real)]
    return {
        **swd,
        "swd/mean": float(np.mean(list(levels.values()))),
        **_color_distances(generated, real),
        "spectrum": float(np.mean(np.abs(decibels[0] - decibels[1]))),
    }


def sliced_wasserstein(
    generated: Images, real: Images, *, num_patches: int = 128, num_projections: int = 512, seed: int = 0
) -> dict[int, float]:
    """Sliced Wasserstein distance of patches at each level of a Laplacian pyramid (arXiv 1710.10196, section 5).

    `num_patches` patches of 7x7 pixels are taken from each image at each level, at random but at the same places in
    both sets; a set's patches are brought to mean 0 and deviation 1 by channel, and projected on `num_projections`
    random directions. Of the larger set only as many images are used as the smaller one has.

    Returns:
      From a level's size in pixels, full size first, to its distance times 1000, as published tables have it.
    """
    _require_alike(generated, real)
    count = min(len(generated), len(real))
    ours, theirs = (_descriptors(images[:count], num_patches, seed) for images in (generated, real))
    return {size: 1000 * _sliced(ours[size], theirs[size], num_projections, seed) for size in ours}


def power_spectrum(images: Images) -> Float[np.ndarray, " frequencies"]:
    """Mean power at 1, 2, ... half the size cycles an image, over directions, channels and images, in squared levels.

    White noise has its variance everywhere. The noise of rounding to 8 bits, 1/12, is added, so that none is zero.
    """
    size = images.shape[1]
    cycles = np.fft.fftfreq(size) * size
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(int).reshape(-1)
    power = np.zeros((size, size))
    for chunk in _in_chunks(images):
        power += np.sum(np.abs(np.fft.fft2(chunk, axes=(1, 2), norm="ortho")) ** 2, axis=(0, 3), dtype=np.float64)
    total = np.bincount(radius, power.reshape(-1)) / np.bincount(radius)
    return total[1 : size // 2 + 1] / (3 * len(images)) + 1 / 12


def nearest_neighbours(
    generated: Images, training: Images, *, k: int = 1, size: int = 16
) -> tuple[Int[np.ndarray, "generated k"], Float[np.ndarray, "generated k"]]:
    """The training images nearest to each generated one, in L2 over pixels averaged down to `size` x `size`.

    Returns:
      Their indices, the nearest first, and how far they are: root mean square of the difference, in levels of 255.
    """
    _require_alike(generated, training)
    k = min(k, len(training))
    queries = _averaged(generated, size)
    norms = np.sum(queries**2, axis=1)[:, None]
    squared, index = np.full((len(queries), 0), np.inf), np.zeros((len(queries), 0), np.int64)
    step = max(1, _AT_A_TIME // max(len(queries), training[0].size))
    for start in range(0, len(training), step):
        keys = _averaged(training[start : start + step], size)
        squared = np.concatenate([squared, norms + np.sum(keys**2, axis=1) - 2 * queries @ keys.T], axis=1)
        here = np.broadcast_to(np.arange(start, start + len(keys)), (len(queries), len(keys)))
        index = np.concatenate([index, here], axis=1)
        best = np.argsort(squared, axis=1, kind="stable")[:, :k]
        squared, index = np.take_along_axis(squared, best, axis=1), np.take_along_axis(index, best, axis=1)
    # Measured again: a difference of large numbers is not 0 between equal images.
    found = [_averaged(training[row], size) - query for row, query in zip(index, queries, strict=True)]
    return index, np.sqrt(np.mean(np.square(found), axis=2))


def _color_distances(generated: Images, real: Images) -> dict[str, float]:
    (means, stds, correlations, cumulatives) = zip(*(_color_statistics(x) for x in (generated, real)), strict=True)
    histogram = np.sum(np.abs(cumulatives[0] - cumulatives[1]), axis=1)
    return {
        "color/mean": float(np.linalg.norm(means[0] - means[1])),
        "color/std": float(np.linalg.norm(stds[0] - stds[1])),
        "color/correlation": float(np.max(np.abs(correlations[0] - correlations[1]))),
        **{f"color/histogram/{name}": float(histogram[i]) for i, name in enumerate(("red", "green", "blue"))},
    }


def _color_statistics(images: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean [3], deviation [3], correlation [3, 3] and cumulative distribution [3, 256] of the channels."""
    counts, products, pixels = np.zeros((3, 256)), np.zeros((3, 3)), images[..., 0].size
    for chunk in _in_chunks(images):
        values = chunk.reshape(-1, 3).astype(np.float64)
        counts += [np.bincount(channel, minlength=256) for channel in values.T.astype(np.uint8)]
        products += values.T @ values
    mean = counts @ np.arange(256) / pixels
    covariance = products / pixels - np.outer(mean, mean)
    std = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.outer(std, std)
    correlation = np.divide(covariance, scale, out=np.eye(3), where=scale > 1e-6)  # a constant channel goes with none
    return mean, std, correlation, np.cumsum(counts, axis=1) / pixels


def _descriptors(images: Images, num_patches: int, seed: int) -> dict[int, Float[np.ndarray, "patches values"]]:
    """For each level the patches of all images, standardised by channel."""
    random: dict[int, np.random.Generator] = {}
    taken: dict[int, list[np.ndarray]] = {}
    for chunk in _in_chunks(images):
        for level in _laplacian_pyramid(chunk):
            size = level.shape[1]
            places = random.setdefault(size, np.random.default_rng((seed, size)))
            y, x = np.moveaxis(places.integers(0, size - PATCH + 1, (len(chunk), num_patches, 2)), -1, 0)
            windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), axis=(1, 2))
            taken.setdefault(size, []).append(windows[np.arange(len(chunk))[:, None], y, x].reshape(-1, 3, PATCH**2))
    descriptors = {}
    for size, patches_of_size in taken.items():
        patches = np.concatenate(patches_of_size)
        std = patches.std(axis=(0, 2), keepdims=True, dtype=np.float64)
        patches = (patches - patches.mean(axis=(0, 2), keepdims=True, dtype=np.float64)) / np.where(std > 0, std, 1)
        descriptors[size] = patches.reshape(len(patches), -1).astype(np.float32)
    return descriptors


def _sliced(ours: Features, theirs: Features, num_projections: int, seed: int) -> float:
    directions = np.random.default_rng(seed).standard_normal((num_projections, ours.shape[1]), dtype=np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    step = max(1, _AT_A_TIME // len(ours))
    distances = []
    for start in range(0, num_projections, step):
        here = directions[start : start + step]
        apart = np.sort(here @ ours.T, axis=1) - np.sort(here @ theirs.T, axis=1)
        distances.append(np.mean(np.abs(apart), axis=1, dtype=np.float64))
    return float(np.mean(np.concatenate(distances)))


def _laplacian_pyramid(images: Float[np.ndarray, "n height width 3"]) -> Iterator[np.ndarray]:
    """Bands of detail from the finest on, then what is left (Burt and Adelson 1983)."""
    while (images.shape[1] + 1) // 2 >= SMALLEST_LEVEL:
        half = _blurred(images)[:, ::2, ::2]
        spread = np.zeros_like(images)
        spread[:, ::2, ::2] = 4 * half
        yield images - _blurred(spread)
        images = half
    yield images


def _blurred(images: Float[np.ndarray, "n height width 3"]) -> Float[np.ndarray, "n height width 3"]:
    for axis in (1, 2):
        size = images.shape[axis]
        padding = [(2, 2) if i == axis else (0, 0) for i in range(4)]
        padded = np.moveaxis(np.pad(images, padding, mode="reflect"), axis, 0)
        blurred = sum(np.float32(weight) * padded[i : i + size] for i, weight in enumerate(_BLUR))
        images = np.moveaxis(np.asarray(blurred), 0, axis)
    return images


def _averaged(images: Images, size: int) -> Float[np.ndarray, "n values"]:
    """Areas averaged to `size` x `size` where images are larger, flat, in levels of 255."""
    full = images.shape[1]
    if full <= size:
        return images.reshape(len(images), -1).astype(np.float64)
    edges = np.arange(size + 1) * full / size
    pixel = np.arange(full)
    shares = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares = np.maximum(shares, 0) * size / full
    thumbnails = [np.einsum("ih,nhwc,jw->nijc", shares, chunk, shares, optimize=True) for chunk in _in_chunks(images)]
    return np.concatenate(thumbnails).reshape(len(images), -1)


def _in_chunks(images: Images) -> Iterator[Float[np.ndarray, "chunk height width 3"]]:
    step = max(1, _AT_A_TIME // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        yield images[start : start + step].astype(np.float32)


def _require_alike(generated: Images, real: Images) -> None:
    shapes = generated.shape[1:], real.shape[1:]
    side = shapes[0][0] if len(shapes[0]) == 3 else 0
    if shapes[0] != shapes[1] or shapes[0] != (side, side, 3) or side < SMALLEST_LEVEL:
        raise InputError(
            f"images {generated.shape} and {real.shape} cannot be compared: give two sets [n, size, size, 3] of one "
            f"size, {SMALLEST_LEVEL} pixels or more"
        )
    if generated.dtype != np.uint8 or real.dtype != np.uint8 or not len(generated) or not len(real):
        raise InputError(
            f"{len(generated)} images of {generated.dtype} and {len(real)} of {real.dtype} cannot be compared: give "
            "uint8, at least one of each"
        )


DRAWS = 5

Distances = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def beside_floor(distances: Distances, made: np.ndarray, real: np.ndarray, *, draws: int = DRAWS) -> dict[str, Any]:
    """Distances of samples to real images, and the floor: those of as many other real images.

    Most distances are the larger the fewer images they are taken from, so that a floor of more images than there are
    samples is one that no model reaches. Each draw divides the real images anew, in stand-ins, as many as there are
    samples (half of all, where these are more, and then as many samples), and the rest, to which both are compared.

    Args:
      distances: of two sets, such as `image_metrics`; of what is the case in all sets, pixels or features.
      real: two or more.

    Returns:
      The figures of the samples, means over the draws; `held_out`, those of the floor; `held_out_spread`, the standard
      deviation of each of these between draws, which is what one set of perfect samples would be off by; and `counts`:
      `samples`, `reference` (images in each draw) and `draws`.
    """
    count = min(len(made), len(real) // 2)
    ours, floor = [], []
    for draw in range(draws):
        random = np.random.default_rng((0, draw))
        order = random.permutation(len(real))
        reference = real[order[count:]]
        ours.append(distances(made[np.sort(random.permutation(len(made))[:count])], reference))
        floor.append(distances(real[order[:count]], reference))

    def over_draws(statistic: Callable[[list[float]], Any], drawn: list[dict[str, float]]) -> dict[str, float]:
        return {name: float(statistic([each[name] for each in drawn])) for name in drawn[0]}

    return {
        **over_draws(np.mean, ours),
        "held_out": over_draws(np.mean, floor),
        "held_out_spread": over_draws(lambda values: np.std(values, ddof=1), floor),
        "counts": {"samples": count, "reference": len(real) - count, "draws": draws},
    }

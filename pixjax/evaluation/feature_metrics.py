"""How much two sets of images are like one another, by the features that any network has for them."""

import numpy as np
from jaxtyping import Float

from pixjax.errors import InputError

Features = Float[np.ndarray, "_n features"]
_ROWS = 1024  # of a matrix of distances, held at once


def frechet_distance(generated: Features, real: Features) -> float:
    """|m - m'|² + tr(C + C' - 2 (C C')^½) of the Gaussians with the sets' moments (FID, arXiv 1706.08500).

    Biased upwards by 1/n: compare figures of equal numbers only. With rows centred and divided by √(n - 1), C is
    A'A, so that the trace of the root is the sum of the singular values of A B', and no root is ever taken.

    Raises:
      InputError: fewer than two rows, or another number of features.
    """
    generated, real = _require_alike(generated, real)
    means = [features.mean(axis=0) for features in (generated, real)]
    ours, theirs = (
        np.asarray(np.linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r"))
        for features, mean in zip((generated, real), means, strict=True)
    )
    shared = np.sum(np.linalg.svd(ours @ theirs.T, compute_uv=False))
    distance = np.sum((means[0] - means[1]) ** 2) + np.sum(ours**2) + np.sum(theirs**2) - 2 * shared
    return max(0.0, float(distance))


def kernel_distance(
    generated: Features, real: Features, *, subset_size: int = 1000, num_subsets: int = 100, seed: int = 0
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / d + 1)³ (KID, arXiv 1801.01401), unbiased.

    Returns:
      The mean over random subsets of both sets, which may be below 0, and its deviation between subsets. Sets of no
      more than `subset_size` are one subset, with a deviation of 0.

    Raises:
      InputError: fewer than two rows, or another number of features.
    """
    generated, real = _require_alike(generated, real)
    random = np.random.default_rng(seed)
    subset_size = max(2, subset_size)
    if max(len(generated), len(real)) <= subset_size:
        num_subsets = 1
    estimates = []
    for _ in range(num_subsets):
        subsets = (
            random.choice(features, min(subset_size, len(features)), replace=False) for features in (generated, real)
        )
        estimates.append(_squared_discrepancy(*subsets))
    return float(np.mean(estimates)), float(np.std(estimates))


def precision_recall(generated: Features, real: Features, *, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (arXiv 1904.06991).

    Precision is the share of generated rows that lie within the distance of some real row to its `k`-th nearest
    other one; recall the share of real rows that lie so near to a generated one.

    Raises:
      InputError: sets of no more than `k` rows, or another number of features.
    """
    generated, real = _require_alike(generated, real, at_least=k + 1)
    return _covered(generated, real, k), _covered(real, generated, k)


def _squared_discrepancy(x: Features, y: Features) -> float:
    def kernel(a: Features, b: Features) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Features) -> float:
        values = kernel(a, a)
        return (values.sum() - np.trace(values)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())


def _covered(points: Features, manifold: Features, k: int) -> float:
    """The share of points in a ball around any row of the manifold that reaches to its k-th neighbour."""
    radii = np.concatenate(
        [
            np.partition(_squared_distances(manifold[start : start + _ROWS], manifold), k, axis=1)[:, k]
            for start in range(0, len(manifold), _ROWS)
        ]
    )
    inside = [
        (_squared_distances(points[start : start + _ROWS], manifold) <= radii).any(axis=1)
        for start in range(0, len(points), _ROWS)
    ]
    return float(np.mean(np.concatenate(inside)))


def _squared_distances(a: Features, b: Features) -> Float[np.ndarray, "rows columns"]:
    return np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 0)


def _require_alike(generated: Features, real: Features, at_least: int = 2) -> tuple[Features, Features]:
    shapes = np.shape(generated), np.shape(real)
    if any(len(shape) != 2 or shape[0] < at_least for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise InputError(
            f"features {shapes[0]} and {shapes[1]} cannot be compared: give two arrays [n, features], n at least "
            f"{at_least}"
        )
    return np.asarray(generated, np.float64), np.asarray(real, np.float64)

"""FID, KID, precision and recall: distances between images by features of the network that published figures use."""

import dataclasses
import hashlib
import io
import pathlib
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from pixjax.errors import InputError

Features = Float[np.ndarray, "_n features"]
_ROWS = 1024  # of a matrix of distances, held at once

Images = UInt8[np.ndarray, "_n height width 3"]

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity names them
LAYER = "2048"
RESIZE = "bilinear to 299 x 299 as TensorFlow 1 has it, no antialiasing"
FIGURES = "FID, KID, precision and recall"
DISTANCES = ("fid", "kid", "kid_std", "precision", "recall")
_AT_A_TIME = 50
_NEIGHBOURS = 3


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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inception:
    """The network of Inception features; `sha256` is of the file that its weights come from."""

    network: Callable[[Images], Float32[np.ndarray, "n features"]]
    sha256: str

    def features(self, images: Images, check: Callable[[], None] = lambda: None) -> Float32[np.ndarray, "n features"]:
        """Features of images, batch by batch; `check` is called before each, and may raise to end the work."""
        batches = []
        for start in range(0, len(images), _AT_A_TIME):
            check()
            batches.append(self.network(images[start : start + _AT_A_TIME]))
        return np.concatenate(batches)


def inception_metrics(generated: Features, real: Features) -> dict[str, float]:
    """Distances of two sets of images by their features.

    Returns:
      `fid`: Fréchet distance (arXiv 1706.08500), biased upwards by few images.
      `kid`, `kid_std`: squared maximum mean discrepancy (arXiv 1801.01401) and its deviation between subsets of 1000.
      `precision`, `recall`: with the third nearest neighbour (arXiv 1904.06991).
      What there are too few images for is left out: two of each set for distances, four for precision and recall.
    """
    few = min(len(generated), len(real))
    metrics: dict[str, float] = {}
    if few >= 2:
        metrics["fid"] = frechet_distance(generated, real)
        metrics["kid"], metrics["kid_std"] = kernel_distance(generated, real)
    if few > _NEIGHBOURS:
        metrics["precision"], metrics["recall"] = precision_recall(generated, real, k=_NEIGHBOURS)
    return metrics


def load_inception(path: pathlib.Path) -> Inception:
    """The network of torch-fidelity with weights from a file, on a GPU where PyTorch has one; nothing is downloaded.

    Raises:
      InputError: other weights, a pickle that wants to run code, or a library that is missing.
    """
    torch, extractor = _import_libraries()
    weights = io.BytesIO()
    torch.save(_read_weights(torch, path), weights)
    weights.seek(0)
    try:
        # The library would unpickle anything: it gets what has been read without that, written anew.
        network = extractor("inception", [LAYER], feature_extractor_weights_path=weights)
    except RuntimeError as error:
        raise InputError(f"{path} holds other weights than torch-fidelity's Inception: give {WEIGHTS}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def features(images: Images) -> Float32[np.ndarray, "n features"]:
        pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(device)
        with torch.inference_mode():
            (activations,) = network(pixels)
        return activations.cpu().numpy()

    with path.open("rb") as file:
        return Inception(network=features, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _import_libraries() -> tuple[Any, Any]:
    try:
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(f"{FIGURES} need a library ({error}): pip install 'pixjax[fid]'") from error
    except RuntimeError as error:  # torchvision, which torch-fidelity imports, beside a torch that it was not built for
        raise InputError(
            f"{FIGURES} need torch and torchvision that fit one another ({error}): install both from one index"
        ) from error
    return torch, FeatureExtractorInceptionV3


def _read_weights(torch: Any, path: pathlib.Path) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} does not read as a file of tensors alone and is refused: give {WEIGHTS}") from error
    if not isinstance(stored, Mapping) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise InputError(f"{path} holds something else than a dict of tensors: give {WEIGHTS}")
    return dict(stored)

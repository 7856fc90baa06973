"""FID, KID, precision and recall: distances between images by features of the network that published figures use."""

import dataclasses
import hashlib
import importlib
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
    """|m - m'|² + tr(C + C' - 2 (C C')^½) of the Gaussians with the sets' moments (FID, arXiv 1706.08500), by
    torch-fidelity.

    Biased upwards by 1/n: compare figures of equal numbers only. With fewer rows than features the library's root loses
    half of the digits, so that equal sets may come out a little below 0; that is returned as 0. Of 2048 features it
    takes 21 s of a core, however few rows there are.

    Raises:
      InputError: fewer than two rows, another number of features, or a library that is missing.
    """
    generated, real = _require_alike(generated, real)
    torch, metric = _import_libraries("metric_fid")
    ours, theirs = (metric.fid_features_to_statistics(torch.from_numpy(features)) for features in (generated, real))
    return max(0.0, metric.fid_statistics_to_metric(ours, theirs, verbose=False)[metric.KEY_METRIC_FID])


def kernel_distance(
    generated: Features, real: Features, *, subset_size: int = 1000, num_subsets: int = 100
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under the kernel (x·y / d + 1)³ (KID, arXiv 1801.01401), unbiased, by
    torch-fidelity.

    Returns:
      The mean over random subsets of both sets, which may be below 0, and its deviation between subsets. A subset has
      no more rows than the smaller set; where it is all of both sets there is one, with a deviation of 0.

    Raises:
      InputError: fewer than two rows, another number of features, or a library that is missing.
    """
    generated, real = _require_alike(generated, real)
    torch, metric = _import_libraries("metric_kid")
    subset_size = max(2, min(subset_size, len(generated), len(real)))
    found = metric.kid_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        kid_subset_size=subset_size,
        kid_subsets=1 if subset_size == max(len(generated), len(real)) else num_subsets,
        verbose=False,
    )
    return found[metric.KEY_METRIC_KID_MEAN], found[metric.KEY_METRIC_KID_STD]


def precision_recall(generated: Features, real: Features, *, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (arXiv 1904.06991), by torch-fidelity.

    Precision is the share of generated rows that lie within the distance of some real row to its `k`-th nearest
    other one; recall the share of real rows that lie so near to a generated one.

    Raises:
      InputError: sets of no more than `k` rows, another number of features, or a library that is missing.
    """
    generated, real = _require_alike(generated, real, at_least=k + 1)
    torch, metric = _import_libraries("metric_prc")
    found = metric.prc_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        prc_neighborhood=k,
        prc_batch_size=_ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    return found[metric.KEY_METRIC_PRECISION], found[metric.KEY_METRIC_RECALL]


def _require_alike(generated: Features, real: Features, at_least: int = 2) -> tuple[Features, Features]:
    shapes = np.shape(generated), np.shape(real)
    if any(len(shape) != 2 or shape[0] < at_least for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise InputError(
            f"features {shapes[0]} and {shapes[1]} cannot be compared: give two arrays [n, features], n at least "
            f"{at_least}"
        )
    return np.ascontiguousarray(generated, np.float64), np.ascontiguousarray(real, np.float64)


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
      `kid`, `kid_std`: squared maximum mean discrepancy (arXiv 1801.01401) and its deviation between subsets of 1000,
      or of as many as the smaller set has.
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
    torch, extractors = _import_libraries("feature_extractor_inceptionv3")
    weights = io.BytesIO()
    torch.save(_read_weights(torch, path), weights)
    weights.seek(0)
    try:
        # The library would unpickle anything: it gets what has been read without that, written anew.
        network = extractors.FeatureExtractorInceptionV3("inception", [LAYER], feature_extractor_weights_path=weights)
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


def _import_libraries(module: str) -> tuple[Any, Any]:
    """PyTorch, and a module of torch-fidelity."""
    try:
        import torch

        found = importlib.import_module(f"torch_fidelity.{module}")
    except ImportError as error:
        raise InputError(f"{FIGURES} need a library ({error}): pip install 'pixjax[fid]'") from error
    except RuntimeError as error:  # torchvision, which torch-fidelity imports, beside a torch that it was not built for
        raise InputError(
            f"{FIGURES} need torch and torchvision that fit one another ({error}): install both from one index"
        ) from error
    return torch, found


def _read_weights(torch: Any, path: pathlib.Path) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} does not read as a file of tensors alone and is refused: give {WEIGHTS}") from error
    if not isinstance(stored, Mapping) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise InputError(f"{path} holds something else than a dict of tensors: give {WEIGHTS}")
    return dict(stored)

"""FID, KID, precision and recall: distances between images by features of the network that published figures use."""

import dataclasses
import hashlib
import io
import pathlib
from collections.abc import Callable, Mapping
from pickle import UnpicklingError
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from pixjax.errors import InputError
from pixjax.evaluation.feature_metrics import Features, frechet_distance, kernel_distance, precision_recall

Images = UInt8[np.ndarray, "_n height width 3"]

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity names them
LAYER = "2048"
RESIZE = "bilinear to 299 x 299 as TensorFlow 1 has it, no antialiasing"
FIGURES = "FID, KID, precision and recall"
DISTANCES = ("fid", "kid", "kid_std", "precision", "recall")
_AT_A_TIME = 50
_NEIGHBOURS = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inception:
    """The network of Inception features; `sha256` is of the file that its weights come from."""

    network: Callable[[Images], Float32[np.ndarray, "n features"]]
    sha256: str

    def features(self, images: Images, check: Callable[[], None] = lambda: None) -> Float32[np.ndarray, "n features"]:
        """In batches; `check` is called before each, and may raise to end the work."""
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

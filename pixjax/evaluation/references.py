"""What figures are read beside: n-grams of the same text, baselines that were trained on it, and published results."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from pixjax.config import Config
from pixjax.errors import InputError
from pixjax.paths import reachable_path


@dataclasses.dataclass(frozen=True)
class Reference:
    """A figure of something else, and how far it can be compared."""

    name: str
    value: float
    note: str


_TEXT8 = "text8, another text over the same letters"
_PUBLISHED_LETTERS = (
    Reference("autoregressive transformer", 1.23, f"{_TEXT8} (arXiv 2107.03006)"),
    Reference("masked diffusion, MD4", 1.37, f"{_TEXT8}, upper bound (arXiv 2406.04329)"),
    Reference("Bayesian flow network", 1.41, f"{_TEXT8}, upper bound (arXiv 2308.07037)"),
)
_PUBLISHED_IMAGES = (
    Reference("VDM, CIFAR-10", 2.65, "other images, 32 pixels, upper bound (arXiv 2107.00630)"),
    Reference("VDM, ImageNet", 3.40, "other images, 64 pixels, upper bound (arXiv 2107.00630)"),
)


def text_references(config: Config, ngrams: dict[str, float], baselines: Sequence[Reference]) -> list[Reference]:
    """In bits per character: first of the same text, then published ones where they are over the same alphabet."""
    same = [
        Reference(f"{n}-gram", bits, "counted on the training text, same test canvases") for n, bits in ngrams.items()
    ]
    return [*same, *baselines, *(_PUBLISHED_LETTERS if config.codec.tokenizer == "chars27" else ())]


def image_references() -> list[Reference]:
    """In bits per dimension."""
    return [Reference("independent levels, all equally likely", 8.0, "knowing nothing"), *_PUBLISHED_IMAGES]


def ngram_standing(bits: float, ngrams: dict[str, float]) -> str:
    """Where a figure stands on the scale of n-grams, in words: between the nearest two by value."""
    better = [(value, n) for n, value in ngrams.items() if value <= bits]
    worse = [(value, n) for n, value in ngrams.items() if value > bits]
    if not better:
        return f"below the {min(worse)[1]}-gram" if worse else ""
    if not worse:
        return f"above the {max(better)[1]}-gram"
    return f"between the {min(worse)[1]}-gram and the {max(better)[1]}-gram"


def read_baselines(paths: Sequence[str | os.PathLike]) -> list[Reference]:
    """Results that the programs in `benchmarks/baselines` wrote. Raises `InputError` for any other file."""
    found = []
    for name in paths:
        path = reachable_path(name, "--baselines")
        try:
            result: dict[str, Any] = json.loads(path.read_text())
            note = (
                f"{result['parameters']:,} parameters, {result['training_characters']:,} characters seen, "
                f"{result['length']} at once"
            )
            found.append(Reference(str(result["name"]), float(result["bits_per_char"]), note))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"--baselines={name} is not a result of benchmarks/baselines ({type(error).__name__}: {error}): "
                "give the JSON file that its --out wrote"
            ) from None
    return found

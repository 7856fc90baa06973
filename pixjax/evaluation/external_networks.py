"""External networks that measure samples: those that were given, and a note on each that was not."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TypeVar

from pixjax.codec import IMAGE, TEXT
from pixjax.errors import InputError
from pixjax.evaluation.held_out import HeldOutData
from pixjax.evaluation.inception import FIGURES, WEIGHTS, Inception, load_inception
from pixjax.evaluation.perplexity import CONFIG_FILE, LanguageModel, load_language_model

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceNetworks:
    """None where there is none."""

    inception: Inception | None = None
    language_model: LanguageModel | None = None


NO_REFERENCE_NETWORKS = ReferenceNetworks()


def require_there(inception: pathlib.Path | None, language_model: pathlib.Path | None) -> None:
    """Raises `InputError` for a path that leads nowhere; what is wrong in a file that is there becomes a note later."""
    if inception and not inception.is_file():
        raise InputError(f"--inception={inception} is not a file: give {WEIGHTS} of torch-fidelity's releases")
    if language_model and not (language_model / CONFIG_FILE).is_file():
        raise InputError(
            f"--language-model={language_model} is not a folder with a {CONFIG_FILE}: give one that holds a causal "
            "language model of Hugging Face format"
        )


def load_reference_networks(
    inception: pathlib.Path | None, language_model: pathlib.Path | None, modalities: frozenset[int], data: HeldOutData
) -> tuple[ReferenceNetworks, tuple[str, ...]]:
    """What can be loaded and has something to measure; on the rest a note, as on a library that is missing."""
    notes: list[str] = []

    def load(option: str, given: pathlib.Path | None, loader: Callable[[pathlib.Path], _T], there: bool) -> _T | None:
        if given and not there:
            notes.append(f"{option}={given} is not used: the model or the held-out data have nothing for it to measure")
        if not given or not there:
            return None
        try:
            return loader(given)
        except InputError as error:
            notes.append(str(error))
            return None

    images = IMAGE in modalities and IMAGE in data.test
    texts = TEXT in modalities and bool(data.training_text and data.test_text)
    if images and not inception:
        notes.append(f"no Inception weights: {FIGURES} are left out; give them with --inception=FILE")
    networks = ReferenceNetworks(
        inception=load("--inception", inception, load_inception, images),
        language_model=load("--language-model", language_model, load_language_model, texts),
    )
    return networks, tuple(notes)

"""Held-out data: canvases and texts that the model has not seen, and those that it has, to compare with."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt8

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.config import Config
from pixjax.data.batch_plan import make_plan
from pixjax.data.source import PairSource
from pixjax.data.sources import modality_of, open_source
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

NEIGHBOURS = 4096  # training images that a sample is compared with
VALIDATION_SHARE = 4  # one canvas for so many of the test: two numbers and a histogram are chosen on them

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CanvasSet:
    """Canvases of one modality as training would paint them, never mirrored, and without the PAD of answers."""

    canvases: UInt8[np.ndarray, "n height width 3"]
    mask: Bool[np.ndarray, "n height width"]

    def __len__(self) -> int:
        return len(self.canvases)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutData:
    """By modality, TEXT or IMAGE; what could not be read is not there, and `notes` says why.

    `validation` are canvases of training where no source is kept for it. `training` are images alone.
    """

    test: dict[int, CanvasSet]
    validation: dict[int, CanvasSet]
    training: dict[int, CanvasSet]
    training_text: str
    test_text: str
    notes: tuple[str, ...]


def read_held_out(config: Config, codec: CanvasCodec, modalities: frozenset[int]) -> HeldOutData:
    """Reads all that `config.evaluation` asks for; what is missing becomes a note, not an error."""
    evaluation, notes = config.evaluation, []
    read = functools.partial(read_canvases, config, codec)

    def attempt(function: Callable[[], _T], flag: str) -> _T | None:
        try:
            return function()
        except InputError as error:
            notes.append(f"{error}; it is left out: name where it lies now, or another, with {flag}")
            return None

    test: dict[int, CanvasSet | None] = {}
    validation: dict[int, CanvasSet | None] = {}
    training: dict[int, CanvasSet | None] = {}
    few = max(2, evaluation.canvases // VALIDATION_SHARE)
    for modality in sorted(modalities):
        name = str(Modality(modality))
        test[modality] = attempt(functools.partial(read, evaluation.test, modality, evaluation.canvases), "--test")
        if not test[modality]:
            notes.append(
                f"no held-out {name}: bits and distances to it are left out; name a source with --test, "
                f"for instance --test={'text:held_out/*.txt' if modality == TEXT else 'images:held_out'}"
            )
        validation[modality] = attempt(functools.partial(read, evaluation.validation, modality, few), "--validation")
        if not validation[modality]:
            notes.append(f"no validation {name}: training canvases take its place; name a source with --validation")
            validation[modality] = attempt(functools.partial(read, config.data.sources, modality, few), "--sources")
        if modality == IMAGE:
            training[modality] = attempt(
                functools.partial(read, config.data.sources, modality, NEIGHBOURS), "--sources"
            )
    texts = ["", ""]
    if TEXT in modalities:
        reading = functools.partial(read_text, config, codec, most=evaluation.reference_characters)
        wanted = ((config.data.sources, "--sources"), (evaluation.test, "--test"))
        texts = [attempt(functools.partial(reading, uris), flag) or "" for uris, flag in wanted]
    return HeldOutData(
        test=_those_there(test),
        validation=_those_there(validation),
        training=_those_there(training),
        training_text=texts[0],
        test_text=texts[1],
        notes=tuple(dict.fromkeys(notes)),
    )


def own_test(config: Config) -> tuple[str, ...]:
    """The config's test sources without what is held out of the demo's data, where training was not on that.

    The configs that come with the package train on `demo:` sources and test on parts of them. Trained on a person's own
    data they would measure bits on something else, without a word.
    """
    trained = {(uri.scheme, uri.place) for uri in map(SourceUri.parse, config.data.sources)}
    parsed = {text: SourceUri.parse(text) for text in config.evaluation.test}
    return tuple(text for text, uri in parsed.items() if uri.scheme != "demo" or ("demo", uri.place) in trained)


def read_canvases(config: Config, codec: CanvasCodec, uris: Sequence[str], modality: int, num: int) -> CanvasSet | None:
    """Up to `num` different records of a modality, the same ones each time; None where no source is of it.

    Raises:
      InputError: a source cannot be read, or is too small to measure on.
    """
    wanted = _of_modality(uris, modality)
    if not wanted:
        return None
    data = dataclasses.replace(config.data, sources=wanted, weights=(), text_ratio=float(modality == TEXT), flip=False)
    # Labels are not used, and held-out images may have others.
    model = dataclasses.replace(config.model, num_classes=0)
    plan = make_plan(dataclasses.replace(config, data=data, model=model), codec)
    num = min(num, len(wanted) * min(len(source) for source in plan.sources))
    if num < 2:
        raise InputError(f"{', '.join(wanted)} has {num} canvas(es): there is nothing to measure on, give 2 or more")
    batch = dataclasses.replace(plan, batch_size=num, counts_pad=False)[0]
    return CanvasSet(canvases=batch["canvas"], mask=batch["loss_mask"])


def read_text(config: Config, codec: CanvasCodec, uris: Sequence[str], most: int) -> str:
    """The text of all sources of documents, one after the other, up to `most` tokens of each; answers are none.

    It is read back from tokens: what the tokenizer normalises away is not there.
    """
    texts = []
    for uri in _of_modality(uris, TEXT):
        source = open_source(
            uri,
            canvas_size=config.model.canvas_size,
            codec=codec,
            context_canvases=config.model.context_canvases,
            max_bad_fraction=config.data.max_bad_fraction,
        )
        if isinstance(source, PairSource):
            continue
        (ids,) = source.tokens.read([(0, min(most, source.num_tokens))])  # type: ignore[union-attr]
        texts.append(codec.detokenize(np.asarray(ids, np.int64)))
    return "\n\n".join(texts)


def _of_modality(uris: Sequence[str], modality: int) -> tuple[str, ...]:
    return tuple(uri for uri in uris if modality_of(SourceUri.parse(uri)) == modality)


def _those_there(sets: dict[int, CanvasSet | None]) -> dict[int, CanvasSet]:
    return {modality: found for modality, found in sets.items() if found is not None}

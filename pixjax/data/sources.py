"""From a URI to its source: one class for each scheme opens it; and what a config's sources amount to together."""

import abc
import dataclasses
import functools
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import bytes_instead
from pixjax.config import Config, DataConfig
from pixjax.data.bad_records import BadRow, SkippedRows
from pixjax.data.caption_pairs import CaptionPairs
from pixjax.data.mixture import Mixture
from pixjax.data.schemes import SCHEMES
from pixjax.data.source import ImageSource, Source
from pixjax.data.token_stream import MemoryTokens, TokenStream, tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """What a source is opened for. Text and prompts need the codec; prompts also a model that takes context."""

    canvas_size: int
    codec: CanvasCodec | None = None
    context_canvases: int = 0
    max_bad_fraction: float = DataConfig.max_bad_fraction

    @property
    def takes_prompts(self) -> bool:
        return bool(self.context_canvases) and self.codec is not None


@runtime_checkable
class DocumentFile(Protocol):
    """A file of a source of text, or what stands for one: its documents, each after the place where it stands."""

    def read(self, start: int = 0) -> Iterator[tuple[int, str | BadRow]]:
        """From the document that stands at the place `start` on. 0 is the first document's place.

        What stands for a document that cannot be used is its `BadRow`.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ListedDocuments:
    """Documents in memory. The place of one is its index."""

    documents: Sequence[str]

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        return ((place, self.documents[place]) for place in range(start, len(self.documents)))


@dataclasses.dataclass(frozen=True)
class SourceSpec(abc.ABC):
    """A source that is named and not opened yet. Its scheme stands in `schemes.py`.

    A source of text has `document_files`, one of pictures `pictures`; one of anything else has an `open` of its own.
    """

    uri: SourceUri

    takes_answer: ClassVar[bool] = False  # whether it takes the option `answer`, as pictures with captions do

    @abc.abstractmethod
    def contents(self) -> Modality:
        """TEXT or IMAGE: what it holds, whatever the option `answer` says."""

    def document_files(self, what: str = "text source", *, quiet: bool = False) -> Sequence[DocumentFile]:
        """The files of a source of text, in order; read one by one they need never be in memory together.

        What is left out of a folder is named in the log, unless `quiet`. `what` names the source in errors.
        Raises `InputError` where there is no text.
        """
        raise InputError(f"{self.uri} has no documents of text: name a source of texts, such as text:FOLDER")

    def pictures(self, canvas_size: int) -> ImageSource:
        """Raises `InputError` where there are no pictures."""
        raise InputError(f"{self.uri} has no pictures: name a source of pictures, such as images:FOLDER")

    def texts(self, codec: CanvasCodec, max_bad_fraction: float) -> Source:
        """Windows of all documents. Raises `InputError` for a source without text, and for too many bad rows."""
        name, skipped = str(self.uri), SkippedRows(str(self.uri), max_bad_fraction)
        ids, coverage = tokenize_documents(documents(self.document_files(), skipped), codec)
        if not len(ids):
            raise InputError(f"text source {name!r} is empty: its files hold no text")
        coverage.require(name, bytes_instead(codec.code))
        return TokenStream(
            name,
            MemoryTokens(ids),
            capacity=codec.capacity,
            pad_id=codec.pad_id,
            coverage=coverage,
            skipped=skipped.counts,
        )

    def modality(self) -> Modality:
        """TEXT or IMAGE, by what it holds, or by which side of a pair is answered."""
        return self.contents() if self.answer is None else self.answer

    @property
    def answer(self) -> Modality | None:
        return self.uri.answer if self.takes_answer else None

    def open(self, reader: Reader) -> Source:
        """Raises `InputError` where there is nothing to read, or nothing that the reader takes."""
        if self.answer is not None:
            self.require_prompts(reader)
        contents = self.contents()
        if contents == TEXT and self.answer is None:
            if reader.codec is None:
                raise InputError(f"{self.uri} is text: opening it needs a codec")
            return self.texts(reader.codec, reader.max_bad_fraction)
        if contents == IMAGE:
            pictures = self.pictures(reader.canvas_size)
            if self.takes_answer and reader.takes_prompts and pictures.has_captions:
                assert reader.codec is not None
                return CaptionPairs(pictures, reader.codec, IMAGE if self.answer is None else self.answer)
            if self.answer is None:
                return pictures
        raise InputError(f"{self.uri} has no pictures with captions: leave out the option answer")

    def require_prompts(self, reader: Reader) -> None:
        if not reader.takes_prompts:
            raise InputError(
                f"{self.uri} has prompts, for which this model has no place: set model.context_canvases=1 or more"
            )


def spec_of(uri: SourceUri) -> SourceSpec:
    return _class_of(uri.scheme)(uri)


@functools.cache
def _class_of(scheme: str) -> type[SourceSpec]:
    """Imported when it is first used: few runs need every library."""
    module, _, name = SCHEMES[scheme].spec.partition(":")
    return getattr(importlib.import_module(module), name)


def document_files(uri: SourceUri, what: str = "text source", *, quiet: bool = False) -> Sequence[DocumentFile]:
    """See `SourceSpec.document_files`."""
    return spec_of(uri).document_files(what, quiet=quiet)


def text_documents(uri: SourceUri, what: str = "text source") -> Iterator[str]:
    """Every document of a source of text that is not empty.

    Raises `InputError` for a source without files, a file that is not text, and too many bad rows.
    """
    return documents(document_files(uri, what), SkippedRows(str(uri), DataConfig.max_bad_fraction))


def documents(files: Sequence[DocumentFile], skipped: SkippedRows) -> Iterator[str]:
    """Every document that is not empty; what is passed over is noted in `skipped`, of which there may be few."""
    num_good = 0
    for file in files:
        for _, document in file.read():
            if isinstance(document, BadRow):
                skipped.note(document)
                continue
            num_good += 1
            if document:
                yield document
    skipped.require_few(num_good)
    skipped.write_log()


def open_source(
    uri: str,
    *,
    canvas_size: int,
    codec: CanvasCodec | None = None,
    context_canvases: int = 0,
    max_bad_fraction: float = DataConfig.max_bad_fraction,
) -> Source:
    """The source that `uri` names: a sequence of pictures, or of windows of text (these need the codec), or, for a
    model that takes context, of prompts and answers, to which pictures with captions belong then.

    Raises `InputError` where there is nothing to read, a file is not what the scheme promises, or more than
    `max_bad_fraction` of the rows of a source of texts cannot be used.
    """
    reader = Reader(
        canvas_size=canvas_size, codec=codec, context_canvases=context_canvases, max_bad_fraction=max_bad_fraction
    )
    return spec_of(SourceUri.parse(uri)).open(reader)


def modality_of(uri: SourceUri) -> Modality:
    """TEXT or IMAGE, by the scheme, by what was prepared, or by which side of a pair is answered."""
    return spec_of(uri).modality()


def source_weights(config: Config) -> Mapping[str, float]:
    """The share of each source that is drawn from, by URI; those with no share are left out and never opened.

    Without `data.weights`, text sources share `data.text_ratio` equally and image sources the rest; where all
    sources are of one modality they have everything.
    """
    data = config.data
    if duplicates := {uri for uri in data.sources if data.sources.count(uri) > 1}:
        raise InputError(f"data.sources names {min(duplicates)} twice: use data.weights to draw from it more often")
    if data.weights:
        total = sum(data.weights)
        return {uri: weight / total for uri, weight in zip(data.sources, data.weights, strict=True)}
    by_modality: dict[int, list[str]] = {TEXT: [], IMAGE: []}
    for uri in data.sources:
        by_modality[modality_of(SourceUri.parse(uri))].append(uri)
    ratio = {TEXT: data.text_ratio, IMAGE: 1 - data.text_ratio}
    for modality, other, name in ((TEXT, IMAGE, "text"), (IMAGE, TEXT, "image")):
        if not by_modality[modality]:
            if ratio[modality] == 1:
                raise InputError(
                    f"data.text_ratio={data.text_ratio:g} asks for {name} alone, and data.sources has none: "
                    f"add one, or change data.text_ratio"
                )
            ratio = {modality: 0.0, other: 1.0}
    return {
        uri: ratio[modality] / len(by_modality[modality])
        for uri in data.sources
        if ratio[modality := modality_of(SourceUri.parse(uri))] > 0
    }


def text_share(config: Config) -> float:
    """The share of text among the canvases that a config draws: exactly 0 or 1 where one modality has everything."""
    shares = {TEXT: 0.0, IMAGE: 0.0}
    for uri, weight in source_weights(config).items():
        shares[modality_of(SourceUri.parse(uri))] += weight
    return shares[TEXT] / (shares[TEXT] + shares[IMAGE])


def modality_schedule(config: Config) -> Int64[np.ndarray, " block"]:
    """TEXT or IMAGE of each canvas of the stream, which repeats after a block."""
    weights = source_weights(config)
    modalities = np.array([modality_of(SourceUri.parse(uri)) for uri in weights])
    return modalities[Mixture.from_weights(tuple(weights.values())).schedule]

"""What the scheme of a source stands for: one class for each, which opens what a URI names."""

import abc
import dataclasses
import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import bytes_instead
from pixjax.config import DataConfig
from pixjax.data.bad_records import BadRow, SkippedRows
from pixjax.data.caption_pairs import CaptionPairs
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
class Part(Protocol):
    """A part of a source of text, such as a file: its documents, each after the place where it stands."""

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

    A source of text has `parts`, one of pictures `pictures`; one of anything else has an `open` of its own.
    """

    uri: SourceUri

    answers: ClassVar[bool] = False  # whether it takes the option `answer`, as pictures with captions do

    @abc.abstractmethod
    def contents(self) -> Modality:
        """TEXT or IMAGE: what it holds, whatever the option `answer` says."""

    def parts(self, what: str = "text source", *, quiet: bool = False) -> Sequence[Part]:
        """The parts of a source of text, in order; read one by one they need never be in memory together.

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
        ids, coverage = tokenize_documents(documents(self.parts(), skipped), codec)
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
        return self.uri.answer if self.answers else None

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
            if self.answers and reader.takes_prompts and pictures.has_captions:
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


def text_parts(uri: SourceUri, what: str = "text source", *, quiet: bool = False) -> Sequence[Part]:
    """See `SourceSpec.parts`."""
    return spec_of(uri).parts(what, quiet=quiet)


def text_documents(uri: SourceUri, what: str = "text source") -> Iterator[str]:
    """Every document of a source of text that is not empty.

    Raises `InputError` for a source without files, a file that is not text, and too many bad rows.
    """
    return documents(text_parts(uri, what), SkippedRows(str(uri), DataConfig.max_bad_fraction))


def documents(parts: Sequence[Part], skipped: SkippedRows) -> Iterator[str]:
    """Every document that is not empty; what is passed over is noted in `skipped`, of which there may be few."""
    num_good = 0
    for part in parts:
        for _, document in part.read():
            if isinstance(document, BadRow):
                skipped.note(document)
                continue
            num_good += 1
            if document:
                yield document
    skipped.require_few(num_good)
    skipped.write_log()

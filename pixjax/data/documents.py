"""The documents of a text source: .txt and .jsonl files, gzipped or not."""

import contextlib
import dataclasses
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Protocol

from etils import epath

from pixjax.data.paths import expand_glob
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


class Part(Protocol):
    """A part of a source, such as a file: its documents, each after the place where it stands."""

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """From the document that stands at the place `start` on. 0 is the first document's place."""
        ...


def text_parts(uri: SourceUri) -> list[Part]:
    """The parts of any source of text, in order; read one by one they need never be in memory together."""
    if uri.scheme == "demo":
        from pixjax.data.demo import demo_documents

        uri.require_options("part")
        return [ListedDocuments(demo_documents(uri.option("part", "all")))]
    if uri.scheme == "tfds":
        from pixjax.data.tfds_source import TfdsDocuments

        return [TfdsDocuments(uri)]
    uri.require_options()
    return [TextFile(path) for path in expand_glob(uri.place, "text source")]


def text_documents(uri: SourceUri) -> Iterator[str]:
    """Every document that is not empty. Raises `InputError` for an empty glob or a file that is not text."""
    for _, document in itertools.chain.from_iterable(part.read() for part in text_parts(uri)):
        if document:
            yield document


def read_documents(path: epath.Path) -> Iterator[str]:
    """A .txt file is one document; of a .jsonl file each line's `text` is one. Either may end in .gz."""
    return (document for _, document in TextFile(path).read())


@dataclasses.dataclass(frozen=True)
class ListedDocuments:
    """Documents in memory. The place of one is its index."""

    documents: Sequence[str]

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        return ((place, self.documents[place]) for place in range(start, len(self.documents)))


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A .txt file is one document, at place 0; of a .jsonl file each line's `text` is one, at the byte where the line
    begins (of a .gz file a byte of what is in it). Lines are read one by one.
    """

    path: epath.Path

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        """Raises `InputError` for what cannot be read, is not UTF-8, or not such a line."""
        if self.path.name.lower().removesuffix(".gz").endswith(".jsonl"):
            for number, place, line in self.lines(start):
                # Lines before the start were not counted.
                where = f"{self.path} line {number}" if not start else f"{self.path}, the line at byte {place:,},"
                yield place, _text_of(line, where)
            return
        with self._opened() as file:
            yield 0, self._decode(file.read(), 0)

    def lines(self, start: int = 0) -> Iterator[tuple[int, int, str]]:
        """Number (1 is the first read), place and content of each line that is not blank. Raises as `read` does."""
        with self._opened() as file:
            place = file.seek(start)
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, place, self._decode(line, place)
                place += len(line)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[IO[bytes] | gzip.GzipFile]:
        try:
            with self.path.open("rb") as raw:
                yield gzip.GzipFile(fileobj=raw) if self.path.name.lower().endswith(".gz") else raw
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path} cannot be read: {error}") from None

    def _decode(self, data: bytes, first: int) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.path} is not UTF-8 text: byte {first + error.start} cannot be decoded") from None


def _text_of(line: str, where: str) -> str:
    try:
        document = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{where} is not a JSON object with the key 'text'") from None
    if not isinstance(document, str):
        raise InputError(f"{where}: 'text' is not a string")
    return document

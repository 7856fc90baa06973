"""The documents of a text source, part by part."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from pixjax.config import DataConfig
from pixjax.data.bad_rows import BadRow, SkippedRows
from pixjax.data.rows import RowDocuments
from pixjax.data.text_formats import WholeText, open_rows, require_format
from pixjax.data.text_paths import text_paths
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

MAX_BAD_FRACTION = DataConfig.max_bad_fraction
_DEFAULT_KEY = "text"


@runtime_checkable
class Part(Protocol):
    """A part of a source, such as a file: its documents, each after the place where it stands."""

    def read(self, start: int = 0) -> Iterator[tuple[int, str | BadRow]]:
        """From the document that stands at the place `start` on. 0 is the first document's place.

        What stands for a document that cannot be used is its `BadRow`.
        """
        ...


def text_parts(uri: SourceUri, what: str = "text source", *, quiet: bool = False) -> list[Part]:
    """The parts of any source of text, in order; read one by one they need never be in memory together.

    What is left out of a folder is named in the log, unless `quiet`. `what` names the source in errors.

    Raises `InputError` for a glob without files, a folder without texts, and a file of no known format.
    """
    if uri.scheme == "demo":
        from pixjax.data.demo import demo_documents

        uri.require_options("part")
        return [ListedDocuments(demo_documents(uri.option("part", "all")))]
    if uri.scheme == "tfds":
        from pixjax.data.tfds_source import TfdsDocuments

        return [TfdsDocuments(uri)]
    uri.require_options("key", "format", "quote")
    if uri.option("quote", "none") != "none":
        raise InputError(f"{uri}: quote={uri.option('quote')} is unknown: quote=none reads a table without quotes")
    given = uri.option("format")
    paths = text_paths(uri.place, what, given_format=given, quiet=quiet)
    formats = [require_format(path, given) for path in paths]
    if uri.option("key") and set(formats) == {"txt"}:
        raise InputError(f"{uri}: a plain text has no keys: leave out the option key")
    key, quoted = uri.option("key", _DEFAULT_KEY), not uri.option("quote")
    return [
        WholeText(path) if format == "txt" else RowDocuments(open_rows(path, format, quoted=quoted), key)
        for path, format in zip(paths, formats, strict=True)
    ]


def text_documents(uri: SourceUri, skipped: SkippedRows | None = None, what: str = "text source") -> Iterator[str]:
    """Every document that is not empty; what is passed over is noted in `skipped`.

    Raises `InputError` for a source without files, a file that is not text, and too many bad rows.
    """
    skipped = skipped or SkippedRows(str(uri), MAX_BAD_FRACTION)
    num_good = 0
    for part in text_parts(uri, what):
        for _, document in part.read():
            if isinstance(document, BadRow):
                skipped.note(document)
                continue
            num_good += 1
            if document:
                yield document
    skipped.require_few(num_good)
    skipped.write_log()


@dataclasses.dataclass(frozen=True)
class ListedDocuments:
    """Documents in memory. The place of one is its index."""

    documents: Sequence[str]

    def read(self, start: int = 0) -> Iterator[tuple[int, str]]:
        return ((place, self.documents[place]) for place in range(start, len(self.documents)))

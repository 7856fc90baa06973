"""The documents of a text source: .txt and .jsonl files, gzipped or not."""

import functools
import gzip
import itertools
import json
from collections.abc import Callable, Iterator

from etils import epath

from pixjax.data.paths import expand_glob
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

# Reads the documents of one part of a source, such as a file.
Part = Callable[[], Iterator[str]]


def text_parts(uri: SourceUri) -> list[Part]:
    """The parts of any source of text, in order; read one by one they need never be in memory together."""
    if uri.scheme == "demo":
        from pixjax.data.demo import demo_documents

        uri.require_options("part")
        documents = demo_documents(uri.option("part", "all"))
        return [functools.partial(iter, documents)]
    if uri.scheme == "tfds":
        from pixjax.data.tfds_source import tfds_documents

        return [functools.partial(tfds_documents, uri)]
    uri.require_options()
    return [functools.partial(read_documents, path) for path in expand_glob(uri.place, "text source")]


def text_documents(uri: SourceUri) -> Iterator[str]:
    """Every document that is not empty. Raises `InputError` for an empty glob or a file that is not text."""
    for document in itertools.chain.from_iterable(part() for part in text_parts(uri)):
        if document:
            yield document


def read_documents(path: epath.Path) -> Iterator[str]:
    """A .txt file is one document; of a .jsonl file each line's `text` is one. Either may end in .gz."""
    name = path.name.lower().removesuffix(".gz")
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.lower().endswith(".gz") else data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: byte {error.start} cannot be decoded") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not name.endswith(".jsonl"):
        yield text
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                document = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path} line {number} is not a JSON object with the key 'text'") from None
            if not isinstance(document, str):
                raise InputError(f"{path} line {number}: 'text' is not a string")
            yield document

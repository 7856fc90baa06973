"""`pairs:`: prompts and answers in the rows of a file, each side a text or a picture."""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from etils import epath
from jaxtyping import Int32, UInt64

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import CoverageCounter, bytes_instead
from pixjax.config import DataConfig
from pixjax.data.bad_records import BadRow, SkippedRows
from pixjax.data.images import BadImage, Pixels, decode_image
from pixjax.data.rows import is_unicode, read_rows
from pixjax.data.source import Pair, PairSource, Part, Picture
from pixjax.data.source_identity import SAMPLED_BYTES, digest, sampled
from pixjax.data.sources import Reader, SourceSpec
from pixjax.data.text_files import TABLES, open_rows, require_format
from pixjax.data.token_stream import MemoryTokens
from pixjax.data.uri import SourceUri, expand_glob
from pixjax.errors import InputError
from pixjax.paths import is_remote

_log = logging.getLogger("pixjax.data")

# Absolute, upwards, on another drive or another storage.
_LEADS_ELSEWHERE = re.compile(r"^[/\\~]|^[a-zA-Z]:|(^|[/\\])\.\.([/\\]|$)|://|\0")

_OPTIONS = ("answer", "format", "quote")
_KEYS = ("prompt", "answer")


class _Path(str):
    """The path of a picture, relative to the folder of the file that names it; any other `str` is a text."""


class _Entry(NamedTuple):
    prompt: tuple[str, ...]
    answer: str
    line: int
    where: str

    @property
    def modality(self) -> Modality:
        return IMAGE if isinstance(self.answer, _Path) else TEXT


class PairsSpec(SourceSpec):
    takes_answer = True

    def contents(self) -> Modality:
        return pairs_modality(self.uri)

    def open(self, reader: Reader) -> "Pairs":
        self.require_prompts(reader)
        assert reader.codec is not None
        return Pairs(
            self.uri,
            canvas_size=reader.canvas_size,
            codec=reader.codec,
            context_canvases=reader.context_canvases,
            max_bad_fraction=reader.max_bad_fraction,
        )


class Pairs(PairSource):
    """A row with the columns `prompt` and `answer` each: a text, `{"text": …}` or `{"image": PATH}`; a prompt may be a
    list of these, and one that is empty is none.

    Paths are relative to the folder of their file and do not lead out of it. With the option `answer=text` or
    `answer=image` only the rows with such an answer count; without it all answers have to be of one kind. Texts are
    tokenized once, here. Rows of another form are passed over and counted in `skipped`.

    Raises:
      InputError: too many rows that are not of this form, a path outside, a text that the tokenizer refuses.
    """

    num_labels = 0

    def __init__(
        self,
        uri: SourceUri,
        *,
        canvas_size: int,
        codec: CanvasCodec,
        context_canvases: int,
        max_bad_fraction: float = DataConfig.max_bad_fraction,
    ):
        uri.require_options(*_OPTIONS)
        self.uri = str(uri)
        self.modality = pairs_modality(uri)
        self._size = canvas_size
        files = _files(uri)
        self._folders = [file.parent for file in files]
        skipped, num_good = SkippedRows(self.uri, max_bad_fraction), 0
        smallest = np.min_scalar_type(codec.vocab_size - 1)
        self._paths: list[str] = []
        ids, parts, first_parts, lines = [], [], [0], []
        length = num_cut = 0
        counter = CoverageCounter(codec.text_tokenizer)
        for number, file in enumerate(files):
            for entry in _entries(file, uri):
                if isinstance(entry, BadRow):
                    skipped.note(entry)
                    continue
                num_good += 1
                if entry.modality != self.modality:
                    if uri.answer is not None:
                        continue
                    both = " and ".join(f"{uri.scheme}:{uri.place}?answer={modality}" for modality in Modality)
                    raise InputError(f"{entry.where}: its answer is of another kind than the first: name {both}")
                sizes = []
                for part in (*entry.prompt, entry.answer):
                    if isinstance(part, _Path):
                        parts.append((-1, len(self._paths)))
                        self._paths.append(part)
                        sizes.append(1)
                        continue
                    tokens = _tokenize(codec, part, entry.where).astype(smallest)
                    counter.add(part, tokens)
                    parts.append((length, length + len(tokens)))
                    ids.append(tokens)
                    length += len(tokens)
                    sizes.append(-(-len(tokens) // codec.capacity))
                num_cut += sum(sizes[:-1]) > context_canvases or sizes[-1] > 1
                first_parts.append(len(parts))
                lines.append((number, entry.line))
        skipped.require_few(num_good)
        skipped.write_log()
        self.skipped = dict(skipped.counts)
        if not lines:
            raise InputError(f"{self.uri} is empty: it has no line with a prompt and an answer")
        self.coverage = counter.coverage
        if ids:
            self.coverage.require(self.uri, bytes_instead(codec.code))
        if num_cut:
            _log.warning(
                "%s: %d of %d pairs are cut: a prompt is longer than %d canvases, or an answer than one, of %d tokens",
                *(self.uri, num_cut, len(lines), context_canvases, codec.capacity),
            )
        self._tokens = MemoryTokens(np.concatenate([np.zeros(0, smallest), *ids]))
        self._parts = np.array(parts, np.int64)
        self._first_parts = np.array(first_parts, np.int64)
        self._lines = np.array(lines, np.int64)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def num_tokens(self) -> int:
        return len(self._tokens)

    def name(self, record: int) -> str:
        return f"line {self._lines[record, 1]}"

    def fingerprint(self) -> str:
        pictures = (data for record in sampled(len(self)) for data in self._pictures(record))
        return digest(
            [self._tokens.fingerprint(), *self._paths, self._parts.tobytes(), self._first_parts.tobytes(), *pictures]
        )

    def _pictures(self, record: int) -> Iterator[bytes | str]:
        """Name and content of each picture of a pair."""
        first, last = self._first_parts[record : record + 2]
        for start, number in self._parts[first:last].tolist():
            if start < 0:
                yield self._paths[number]
                try:
                    yield (self._folders[self._lines[record, 0]] / self._paths[number]).read_bytes()[:SAMPLED_BYTES]
                except OSError:  # a bad picture, which is counted when it is drawn
                    yield b""

    def load(self, records: Iterable[int], keys: UInt64[np.ndarray, "n"]) -> list[Pair | BadImage]:
        return [self._load(int(record)) for record in records]

    def _load(self, record: int) -> Pair | BadImage:
        folder = self._folders[self._lines[record, 0]]
        first, last = self._first_parts[record : record + 2]
        try:
            *prompt, answer = (self._part(folder, *part) for part in self._parts[first:last].tolist())
        except BadImage as bad:
            return bad
        return Pair(tuple(prompt), answer)

    def _part(self, folder: epath.Path, start: int, stop: int) -> Part:
        if start < 0:
            return Picture(_read_picture(folder, self._paths[stop], self._size))
        return self._tokens.read([(start, stop)])[0].astype(np.int32)


def pairs_modality(uri: SourceUri) -> Modality:
    """The modality of the answers: as the option says, or the first line."""
    if uri.answer is not None:
        return uri.answer
    entries = (entry for file in _files(uri) for entry in _entries(file, uri))
    first = next((entry for entry in entries if isinstance(entry, _Entry)), None)
    return TEXT if first is None else first.modality


def _files(uri: SourceUri) -> list[epath.Path]:
    return expand_glob(uri.place, "pairs source")


def _entries(path: epath.Path, uri: SourceUri) -> Iterator[_Entry | BadRow]:
    """Raises `InputError` for a file of several rows none of which is a pair, or for a path that leads outside."""
    file = open_rows(path, require_format(path, uri.option("format"), TABLES), quoted=uri.option("quote") != "none")
    unit = file.unit
    rows = read_rows(file, _KEYS, lambda row, number: _entry(row, number, f"{path} {unit} {number}"))
    return (entry for _, entry in rows)


def _entry(row: Any, number: int, where: str) -> _Entry | BadRow:
    if not isinstance(row, dict) or any(key not in row for key in _KEYS):
        there = f": there is {', '.join(map(repr, row))}" if isinstance(row, dict) and row else ""
        return BadRow("missing", f" is not a JSON object with the keys 'prompt' and 'answer'{there:.200}")
    prompt, answer = row["prompt"], row["answer"]
    sides = [(part, "prompt") for part in (prompt if isinstance(prompt, list) else [prompt])] + [(answer, "answer")]
    parts: list[str] = []
    for value, name in sides:
        part = _side(value, name, where)
        if isinstance(part, BadRow):
            return part
        parts.append(part)
    return _Entry(tuple(filter(None, parts[:-1])), parts[-1], number, where)


def _side(value: Any, name: str, where: str) -> str | BadRow:
    """A text, or a `_Path`."""
    if isinstance(value, dict):  # a row of a Parquet file has all keys, null where another row has them
        value = {key: part for key, part in value.items() if part is not None}
    match value:
        case str(text) | {"text": str(text)} if isinstance(value, str) or len(value) == 1:
            broken = BadRow("corrupt", f": its {name} is not UTF-8 text")
            return text if is_unicode(text) else broken
        case {"image": str(path)} if len(value) == 1 and path:
            if _LEADS_ELSEWHERE.search(path):
                raise InputError(f"{where}: the picture {path!r} leads out of its folder: write a path relative to it")
            return _Path(path)
    if value is None:
        return BadRow("missing", f": its {name} is null")
    return BadRow("unreadable", f': its {name} is neither a text nor {{"text": …}} nor {{"image": PATH}}')


def _tokenize(codec: CanvasCodec, text: str, where: str) -> Int32[np.ndarray, "n"]:
    try:
        return codec.tokenize(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _read_picture(folder: epath.Path, name: str, size: int) -> Pixels:
    """Raises `BadImage`, also for a file that is gone, or a link that leads out of the folder."""
    path = folder / name
    if not is_remote(folder):
        inside = os.path.realpath(folder)
        if os.path.commonpath([inside, os.path.realpath(path)]) != inside:
            raise BadImage("missing", f"{path} leads out of {folder}")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise BadImage("missing", str(error)) from None
    except OSError as error:
        raise BadImage("corrupt", str(error)) from None
    return decode_image(data, size)

"""A source divided into shards, before any is made: which documents or pictures each has, found in one look."""

import array
import dataclasses
import hashlib

import numpy as np
from jaxtyping import Int64

from pixjax.codec import IMAGE, CanvasCodec
from pixjax.codec.coverage import CoverageCounter
from pixjax.config import DataConfig
from pixjax.data.bad_records import BadRow, SkippedRows
from pixjax.data.images import RESIZE_METHOD
from pixjax.data.shards import Recipe
from pixjax.data.source import ImageSource
from pixjax.data.sources import document_files, modality_of, open_source, spec_of
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

_PICTURES_PER_SHARD = 8192
_LETTERS_PER_SHARD = 2**25
_LETTERS_TRIED = 2**20  # before any shard is made: is most of the text lost to this tokenizer?

# A run of documents: (number of the file, place of the first in it, how many).
Run = tuple[int, int, int]

# What was passed over: (name, cause, detail).
Skipped = tuple[str, str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation:
    """All that a worker needs to make any shard. Small, and picklable.

    runs: for each shard of text its documents. skipped: for each shard of text the rows that are none. records: for
    pictures, how many there are. inputs: for each shard of pictures a digest that changes with them.
    """

    source: str
    out: str
    recipe: Recipe
    codec: CanvasCodec | None = None
    runs: tuple[tuple[Run, ...], ...] = ()
    skipped: tuple[tuple[Skipped, ...], ...] = ()
    records: int = 0
    inputs: tuple[str, ...] = ()


def plan_preparation(
    source: str,
    out: str,
    *,
    canvas_size: int = 64,
    codec: CanvasCodec | None = None,
    shards: int = 0,
    max_bad_fraction: float = DataConfig.max_bad_fraction,
) -> Preparation:
    """Looks at the source once and divides it. `shards` is the most there will be; 0: as many as its size
    suggests.

    Text needs the codec: its tokenizer and the capacity of its canvas. Raises `InputError` for an empty source, and for
    one of text of which more than `max_bad_fraction` of the rows cannot be used.
    """
    uri = SourceUri.parse(source)
    if uri.scheme == "pairs":
        raise InputError(f"{uri} needs no preparing: name it in data.sources as it is")
    if spec_of(uri).takes_answer and uri.option("answer"):
        raise InputError(
            f"{uri}: pictures and captions are prepared once for both directions: leave out the option answer, and "
            f"read array_record:{out}?answer={uri.option('answer')}"
        )
    if modality_of(uri) == IMAGE:
        return _plan_pictures(uri, out, canvas_size, shards)
    if codec is None:
        raise InputError(f"{source} is text: preparing it needs a tokenizer")
    return _plan_text(uri, out, canvas_size, codec, shards, max_bad_fraction)


def _plan_pictures(uri: SourceUri, out: str, canvas_size: int, shards: int) -> Preparation:
    pictures: ImageSource = open_source(str(uri), canvas_size=canvas_size)  # type: ignore[assignment]
    count = len(pictures)
    names = hashlib.sha256("\0".join(pictures.name(record) for record in range(count)).encode())
    recipe = Recipe(
        kind="captions" if pictures.has_captions else "images",
        source=str(uri),
        class_names=getattr(pictures, "class_names", None),
        fingerprint=names.hexdigest(),
        canvas_size=canvas_size,
        num_shards=min(shards or -(-count // _PICTURES_PER_SHARD), count),
        resize=RESIZE_METHOD,
    )
    inputs = tuple(
        _digest_inputs(pictures, *records_of_shard(count, recipe.num_shards, n)) for n in range(recipe.num_shards)
    )
    return Preparation(source=str(uri), out=out, recipe=recipe, records=count, inputs=inputs)


def _digest_inputs(pictures: ImageSource, first: int, last: int) -> str:
    """A digest of what can be told of pictures without reading them; empty for a source that does not tell."""
    stamp = getattr(pictures, "stamp", None)
    if stamp is None:
        return ""
    digest = hashlib.sha256()
    for record in range(first, last):
        digest.update(f"{pictures.name(record)}\0{stamp(record)}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def records_of_shard(records: int, num_shards: int, number: int) -> tuple[int, int]:
    """The first record of a shard, and the one after its last."""
    return records * number // num_shards, records * (number + 1) // num_shards


def _plan_text(
    uri: SourceUri, out: str, canvas_size: int, codec: CanvasCodec, shards: int, max_bad_fraction: float
) -> Preparation:
    digest = hashlib.sha256()
    files, places, lengths = (array.array("q") for _ in range(3))  # of each document, of which there may be many
    skipped: list[tuple[int, BadRow]] = []
    bad_rows = SkippedRows(str(uri), max_bad_fraction, "--max-bad-fraction")
    beginning, blank, letters = CoverageCounter(codec.text_tokenizer), True, 0
    for number, file in enumerate(document_files(uri)):
        for place, document in file.read():
            if isinstance(document, BadRow):
                bad_rows.note(document)
                skipped.append((len(places), document))
                continue
            digest.update(document.encode("utf-8", "surrogatepass") + b"\0")
            if codec.text_tokenizer.rewrites and letters < _LETTERS_TRIED:
                some = document[: _LETTERS_TRIED - letters]
                beginning.add(some, codec.tokenize(some))
            blank = blank and not document.strip()
            letters += len(document)
            files.append(number)
            places.append(place)
            lengths.append(len(document))
    bad_rows.require_few(len(places))
    ends = np.cumsum(np.frombuffer(lengths, np.int64))
    if not len(ends) or not ends[-1]:
        raise InputError(f"text source {str(uri)!r} is empty: its files hold no text")
    # A blank beginning is no blank text. The shards count all of it.
    dataclasses.replace(beginning.coverage, blank=blank).require(str(uri), "--tokenizer=bytes reads every language")
    total = int(ends[-1])
    most = shards or -(-total // _LETTERS_PER_SHARD)
    starts = np.concatenate([[0], ends[:-1]])
    # A document is never divided: a shard may have none, and is left out.
    _, shard = np.unique(np.minimum(starts * most // total, most - 1), return_inverse=True)
    runs = _runs(shard, np.frombuffer(files, np.int64), np.frombuffer(places, np.int64))
    skipped_of: list[list[Skipped]] = [[] for _ in runs]
    for before, bad in skipped:
        skipped_of[shard[max(0, before - 1)]].append((bad.where, bad.cause, bad.detail.lstrip(" :")))
    recipe = Recipe(
        kind="text",
        source=str(uri),
        fingerprint=digest.hexdigest(),
        canvas_size=canvas_size,
        num_shards=len(runs),
        codec=codec.to_dict(),
    )
    return Preparation(
        source=str(uri), out=out, recipe=recipe, codec=codec, runs=runs, skipped=tuple(map(tuple, skipped_of))
    )


def _runs(
    shard: Int64[np.ndarray, "n"], file: Int64[np.ndarray, "n"], place: Int64[np.ndarray, "n"]
) -> tuple[tuple[Run, ...], ...]:
    """The runs of each shard, of the documents in their order."""
    firsts = np.flatnonzero((np.diff(shard, prepend=-1) != 0) | (np.diff(file, prepend=-1) != 0))
    counts = np.diff(firsts, append=len(shard))
    runs: list[list[Run]] = [[] for _ in range(int(shard[-1]) + 1)]
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        runs[shard[first]].append((int(file[first]), int(place[first]), count))
    return tuple(map(tuple, runs))

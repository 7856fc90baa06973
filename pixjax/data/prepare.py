"""`pixjax prepare`: a source made into ArrayRecord shards, each a pure function of the recipe and its number.

Hence any number of processes, or machines, may make them in any order, a killed run goes on with the shards
that are missing, and a shard made again has the same bytes.
"""

import array
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
from etils import epath
from jaxtyping import Int64

from pixjax.codec import IMAGE, CanvasCodec
from pixjax.config import DataConfig
from pixjax.data.bad_rows import BadRow, SkippedRows
from pixjax.data.documents import text_parts
from pixjax.data.images import RESIZE_METHOD, BadImage
from pixjax.data.manifest import MANIFEST, Manifest, Recipe, Shard, read_shard, write_json
from pixjax.data.paths import reach
from pixjax.data.shard_records import encode_picture, encode_windows, file_digest, write_shard
from pixjax.data.source import ImageSource
from pixjax.data.sources import modality_of, open_source
from pixjax.data.token_stream import tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError, RunError

_RECIPE = "recipe.json"  # of a preparation that has not finished
_PICTURES_PER_SHARD = 8192
_LETTERS_PER_SHARD = 2**25
_LOADED_AT_ONCE = 64

# A run of documents: (part, place of the first in it, how many).
Run = tuple[int, int, int]

# What was passed over: (name, cause, detail).
Skipped = tuple[str, str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation:
    """All that a worker needs to make any shard. Small, and picklable.

    runs: for each shard of text its documents. skipped: for each shard of text the rows that are none. records: for
    pictures, how many there are.
    """

    source: str
    out: str
    recipe: Recipe
    codec: CanvasCodec | None = None
    runs: tuple[tuple[Run, ...], ...] = ()
    skipped: tuple[tuple[Skipped, ...], ...] = ()
    records: int = 0


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
    if uri.scheme in ("captions", "array_record", "tfds") and uri.option("answer"):
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
        fingerprint=names.hexdigest(),
        canvas_size=canvas_size,
        num_shards=min(shards or -(-count // _PICTURES_PER_SHARD), count),
        resize=RESIZE_METHOD,
    )
    return Preparation(source=str(uri), out=out, recipe=recipe, records=count)


def _plan_text(
    uri: SourceUri, out: str, canvas_size: int, codec: CanvasCodec, shards: int, max_bad_fraction: float
) -> Preparation:
    digest = hashlib.sha256()
    parts, places, lengths = (array.array("q") for _ in range(3))  # of each document, of which there may be many
    skipped: list[tuple[int, BadRow]] = []
    bad_rows = SkippedRows(str(uri), max_bad_fraction, "--max-bad-fraction")
    for number, part in enumerate(text_parts(uri)):
        for place, document in part.read():
            if isinstance(document, BadRow):
                bad_rows.note(document)
                skipped.append((len(places), document))
                continue
            digest.update(document.encode("utf-8", "surrogatepass") + b"\0")
            parts.append(number)
            places.append(place)
            lengths.append(len(document))
    bad_rows.require_few(len(places))
    ends = np.cumsum(np.frombuffer(lengths, np.int64))
    if not len(ends) or not ends[-1]:
        raise InputError(f"text source {str(uri)!r} is empty: its files hold no text")
    total = int(ends[-1])
    most = shards or -(-total // _LETTERS_PER_SHARD)
    starts = np.concatenate([[0], ends[:-1]])
    # A document is never divided: a shard may have none, and is left out.
    _, shard = np.unique(np.minimum(starts * most // total, most - 1), return_inverse=True)
    runs = _runs(shard, np.frombuffer(parts, np.int64), np.frombuffer(places, np.int64))
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
    shard: Int64[np.ndarray, "n"], part: Int64[np.ndarray, "n"], place: Int64[np.ndarray, "n"]
) -> tuple[tuple[Run, ...], ...]:
    """The runs of each shard, of the documents in their order."""
    firsts = np.flatnonzero((np.diff(shard, prepend=-1) != 0) | (np.diff(part, prepend=-1) != 0))
    counts = np.diff(firsts, append=len(shard))
    runs: list[list[Run]] = [[] for _ in range(int(shard[-1]) + 1)]
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        runs[shard[first]].append((int(part[first]), int(place[first]), count))
    return tuple(map(tuple, runs))


def prepare(
    preparation: Preparation,
    *,
    workers: int = 0,
    make_all: Callable[[Preparation, list[int]], Iterable[Shard]] | None = None,
    report: Callable[[Shard], None] = lambda shard: None,
) -> Manifest:
    """Makes the shards that are missing or damaged, then the manifest. `report` is called as each is done.

    `make_all` makes shards by number and gives them in any order; without it `workers` processes do, 0: this
    one. Raises `InputError` where the folder holds something else.
    """
    folder = reach(preparation.out)
    was_there = folder.exists()
    _claim(folder, preparation.recipe)
    try:
        manifest = _make_missing(folder, preparation, make_all or (lambda job, n: _make_here(job, n, workers)), report)
    except InputError:
        _withdraw(folder, preparation, was_there)
        raise
    manifest.save(folder)
    for leftover in (_RECIPE, *_notes(preparation)):
        (folder / leftover).unlink(missing_ok=True)
    return manifest


def _make_missing(
    folder: epath.Path,
    preparation: Preparation,
    make_all: Callable[[Preparation, list[int]], Iterable[Shard]],
    report: Callable[[Shard], None],
) -> Manifest:
    numbers = range(preparation.recipe.num_shards)
    missing = [number for number in numbers if _finished(folder, preparation, number) is None]
    for draft in folder.glob(".shard-*.tmp"):  # of a run that was killed
        draft.unlink()
    for shard in make_all(preparation, missing):
        report(shard)
    shards = [_finished(folder, preparation, number) for number in numbers]
    if None in shards:
        raise RunError(f"{shards.count(None)} shards of {folder} were not made: run the command again")
    manifest = Manifest(recipe=preparation.recipe, shards=tuple(shards))  # type: ignore[arg-type]
    if not manifest.num_records:
        skipped = manifest.shards[0].skipped[0]
        raise InputError(f"{preparation.source}: no picture could be used, the first was {': '.join(skipped)}")
    return manifest


def _withdraw(folder: epath.Path, preparation: Preparation, was_there: bool) -> None:
    """Leaves nothing behind where nothing was made; what was made is kept, for the run that goes on with it."""
    notes = [note for name in _notes(preparation) if (note := folder / name).exists()]
    shards = [read_shard(note) for note in notes]
    if (folder / MANIFEST).exists() or any(shard.num_records for shard in shards):
        return
    for path in (folder / _RECIPE, *notes, *(folder / shard.file for shard in shards)):
        path.unlink(missing_ok=True)
    if not was_there and folder.exists() and not any(folder.iterdir()):  # a bucket has no empty folders
        folder.rmdir()


def make_shard(preparation: Preparation, number: int) -> Shard:
    """Makes one shard and, after it, the note that it is finished."""
    folder, stem = epath.Path(preparation.out), _stem(preparation, number)
    shard = (_make_text if preparation.codec else _make_pictures)(preparation, folder / f"{stem}.array_record", number)
    write_json(folder / f"{stem}.json", dataclasses.asdict(shard))
    return shard


def _make_text(job: Preparation, path: epath.Path, number: int) -> Shard:
    codec = job.codec
    assert codec is not None
    parts = text_parts(SourceUri.parse(job.source), quiet=True)
    documents = (
        document
        for part, first, count in job.runs[number]
        for document in itertools.islice((text for _, text in parts[part].read(first) if isinstance(text, str)), count)
    )
    ids = tokenize_documents(filter(None, documents), codec)
    count, size, digest = write_shard(path, encode_windows(ids, codec.capacity, codec.vocab_size))
    return Shard(
        file=path.name,
        num_records=count,
        num_tokens=len(ids),
        num_bytes=size,
        sha256=digest,
        skipped=job.skipped[number],
    )


def _make_pictures(job: Preparation, path: epath.Path, number: int) -> Shard:
    source: ImageSource = open_source(job.source, canvas_size=job.recipe.canvas_size)  # type: ignore[assignment]
    first, last = (job.records * n // job.recipe.num_shards for n in (number, number + 1))
    skipped = []

    def encoded() -> Iterator[bytes]:
        for start in range(first, last, _LOADED_AT_ONCE):
            numbers = range(start, min(start + _LOADED_AT_ONCE, last))
            for record, picture in zip(numbers, source.load(numbers), strict=True):
                if isinstance(picture, BadImage):
                    skipped.append((source.name(record), picture.cause, picture.detail))
                else:
                    yield encode_picture(picture)

    count, size, digest = write_shard(path, encoded())
    return Shard(
        file=path.name,
        num_records=count,
        num_bytes=size,
        sha256=digest,
        num_labels=source.num_labels,
        skipped=tuple(skipped),
    )


def _make_here(job: Preparation, numbers: list[int], workers: int) -> Iterator[Shard]:
    if workers < 2 or len(numbers) < 2:
        yield from (make_shard(job, number) for number in numbers)
        return
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(make_shard, job, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _stem(job: Preparation, number: int) -> str:
    return f"shard-{number:05}-of-{job.recipe.num_shards:05}"


def _notes(job: Preparation) -> list[str]:
    return [f"{_stem(job, number)}.json" for number in range(job.recipe.num_shards)]


def _claim(folder: epath.Path, recipe: Recipe) -> None:
    """Says in the folder what is made there; refuses one that holds anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = folder / _RECIPE
    if (folder / MANIFEST).exists():
        there = Manifest.load(folder).recipe
    elif begun.exists():
        try:
            there = Recipe(**json.loads(begun.read_bytes()))
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{begun} is damaged ({error}): choose another --out, or delete the folder") from None
    elif any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and was not made by pixjax prepare: choose another --out")
    else:
        write_json(begun, dataclasses.asdict(recipe))
        return
    different = [f.name for f in dataclasses.fields(Recipe) if getattr(there, f.name) != getattr(recipe, f.name)]
    if different:
        raise InputError(
            f"{folder} was prepared with another {' and '.join(different)} (from {there.source}): choose another "
            "--out, or delete it"
        )


def _finished(folder: epath.Path, job: Preparation, number: int) -> Shard | None:
    """The shard if it is there, whole and undamaged."""
    note = folder / f"{_stem(job, number)}.json"
    if note.exists():
        shard = read_shard(note)
    elif (folder / MANIFEST).exists():
        shard = Manifest.load(folder).shards[number]
    else:
        return None
    path = folder / shard.file
    return shard if path.exists() and file_digest(path) == (shard.num_bytes, shard.sha256) else None

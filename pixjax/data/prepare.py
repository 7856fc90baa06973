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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from etils import epath
from jaxtyping import Int64

from pixjax.codec import IMAGE, CanvasCodec
from pixjax.codec.coverage import CoverageCounter
from pixjax.config import DataConfig
from pixjax.data.bad_records import BadRow, SkippedRows
from pixjax.data.images import RESIZE_METHOD, BadImage
from pixjax.data.manifest import MANIFEST, Manifest, Recipe, Shard, read_shard, write_json
from pixjax.data.shard_records import encode_picture, encode_windows, file_digest, write_shard
from pixjax.data.source import ImageSource
from pixjax.data.sources import modality_of, open_source, spec_of, text_parts
from pixjax.data.token_stream import tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.data.worker import require_guard, start_worker
from pixjax.errors import InputError, RunError
from pixjax.paths import reachable_path

_RECIPE = "recipe.json"  # of a preparation that has not finished
_PICTURES_PER_SHARD = 8192
_LETTERS_PER_SHARD = 2**25
_LOADED_AT_ONCE = 64
_LETTERS_TRIED = 2**20  # before any shard is made: is most of the text lost to this tokenizer?

# A run of documents: (part, place of the first in it, how many).
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
    if spec_of(uri).answers and uri.option("answer"):
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
    inputs = tuple(_digest_inputs(pictures, *_range_of(count, recipe.num_shards, n)) for n in range(recipe.num_shards))
    return Preparation(source=str(uri), out=out, recipe=recipe, records=count, inputs=inputs)


def _digest_inputs(pictures: ImageSource, first: int, last: int) -> str:
    """Of what can be told of pictures without reading them. Empty for a source that does not tell."""
    stamp = getattr(pictures, "stamp", None)
    if stamp is None:
        return ""
    digest = hashlib.sha256()
    for record in range(first, last):
        digest.update(f"{pictures.name(record)}\0{stamp(record)}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _range_of(records: int, num_shards: int, number: int) -> tuple[int, int]:
    """The first record of a shard, and the one after its last."""
    return records * number // num_shards, records * (number + 1) // num_shards


def _plan_text(
    uri: SourceUri, out: str, canvas_size: int, codec: CanvasCodec, shards: int, max_bad_fraction: float
) -> Preparation:
    digest = hashlib.sha256()
    parts, places, lengths = (array.array("q") for _ in range(3))  # of each document, of which there may be many
    skipped: list[tuple[int, BadRow]] = []
    bad_rows = SkippedRows(str(uri), max_bad_fraction, "--max-bad-fraction")
    beginning, blank, letters = CoverageCounter(codec.text_tokenizer), True, 0
    for number, part in enumerate(text_parts(uri)):
        for place, document in part.read():
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
            parts.append(number)
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
    notify: Callable[[str], None] = lambda message: None,
) -> Manifest:
    """Makes the shards that are missing, damaged, or of pictures that have changed since, then the manifest. `report`
    is called as each is done, `notify` with what else is to be said.

    `make_all` makes shards by number and gives them in any order; without it `workers` processes do, 0: this
    one. Raises `InputError` where the folder holds something else.
    """
    folder = reachable_path(preparation.out)
    was_there = folder.exists()
    _claim(folder, preparation.recipe)
    try:
        make_all = make_all or (lambda job, n: _make_here(job, n, workers))
        manifest = _make_missing(folder, preparation, make_all, report, notify)
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
    notify: Callable[[str], None],
) -> Manifest:
    numbers = range(preparation.recipe.num_shards)
    there = _noted(folder, preparation)
    if stale := [number for number, shard in there.items() if not _is_current(preparation, number, shard)]:
        notify(
            f"{preparation.source} has changed since {folder} was made, or an older version made it: {len(stale)} of "
            f"{len(numbers)} shards are made anew"
        )
        _reopen(folder, preparation, there)
    finished = _finished(folder, preparation)
    missing = [number for number in numbers if number not in finished]
    for draft in folder.glob(".shard-*.tmp"):  # of a run that was killed
        draft.unlink()
    for shard in make_all(preparation, missing):
        report(shard)
    finished = _finished(folder, preparation)
    if lacking := len(numbers) - len(finished):
        raise RunError(f"{lacking} shards of {folder} were not made: run the command again")
    manifest = Manifest(recipe=preparation.recipe, shards=tuple(finished[number] for number in numbers))
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
    folder, stem = reachable_path(preparation.out), _stem(preparation, number)
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
    ids, coverage = tokenize_documents(filter(None, documents), codec)
    count, size, digest = write_shard(path, encode_windows(ids, codec.capacity, codec.vocab_size))
    return Shard(
        file=path.name,
        num_records=count,
        num_tokens=len(ids),
        num_characters=coverage.characters,
        num_lost=coverage.lost,
        num_bytes=size,
        sha256=digest,
        skipped=job.skipped[number],
    )


def _make_pictures(job: Preparation, path: epath.Path, number: int) -> Shard:
    source: ImageSource = open_source(job.source, canvas_size=job.recipe.canvas_size)  # type: ignore[assignment]
    first, last = _range_of(job.records, job.recipe.num_shards, number)
    skipped, labels = [], Counter[int]()

    def encoded() -> Iterator[bytes]:
        for start in range(first, last, _LOADED_AT_ONCE):
            numbers = range(start, min(start + _LOADED_AT_ONCE, last))
            for record, picture in zip(numbers, source.load(numbers), strict=True):
                if isinstance(picture, BadImage):
                    skipped.append((source.name(record), picture.cause, picture.detail))
                else:
                    labels[picture.label] += 1
                    yield encode_picture(picture)

    count, size, digest = write_shard(path, encoded())
    return Shard(
        file=path.name,
        num_records=count,
        num_bytes=size,
        sha256=digest,
        num_labels=source.num_labels,
        skipped=tuple(skipped),
        inputs=job.inputs[number],
        labels={str(label): count for label, count in sorted(labels.items())} if source.num_labels else {},
    )


def _make_here(job: Preparation, numbers: list[int], workers: int) -> Iterator[Shard]:
    if workers < 2 or len(numbers) < 2:
        yield from (make_shard(job, number) for number in numbers)
        return
    require_guard(f"workers={workers}")
    # Spawned, not forked: the caller may have threads.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:
        futures = [pool.submit(make_shard, job, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise RunError(
                "a process that makes shards was killed, perhaps out of memory: lower --workers and run the command "
                "again, which goes on with the shards that are missing"
            ) from None
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
            there = Recipe.from_dict(json.loads(begun.read_bytes()))
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{begun} is damaged ({error}): choose another --out, or delete the folder") from None
    elif any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and was not made by pixjax prepare: choose another --out")
    else:
        write_json(begun, dataclasses.asdict(recipe))
        return
    fields = [field.name for field in dataclasses.fields(Recipe) if field.name != "class_names"]
    different = [name for name in fields if getattr(there, name) != getattr(recipe, name)]
    if set(different) <= {"fingerprint", "num_shards"} and "fingerprint" in different:
        what = "other texts" if recipe.kind == "text" else "pictures of other names"
        raise InputError(f"{folder} was prepared when {there.source} held {what}: choose another --out, or delete it")
    if different:
        raise InputError(
            f"{folder} was prepared with another {' and '.join(different)} (from {there.source}): choose another "
            "--out, or delete it"
        )


def _noted(folder: epath.Path, job: Preparation) -> dict[int, Shard]:
    """What is said of the shards that were made, by their number, in the order of the numbers."""
    shards = dict(enumerate(Manifest.load(folder).shards)) if (folder / MANIFEST).exists() else {}
    for number, name in enumerate(_notes(job)):
        if (folder / name).exists():
            shards[number] = read_shard(folder / name)
    return dict(sorted(shards.items()))


def _is_current(job: Preparation, number: int, shard: Shard) -> bool:
    return not job.inputs or shard.inputs == job.inputs[number]


def _finished(folder: epath.Path, job: Preparation) -> dict[int, Shard]:
    """The shards that are there, whole and undamaged, of what the source holds now."""
    return {
        number: shard
        for number, shard in _noted(folder, job).items()
        if _is_current(job, number, shard)
        and (path := folder / shard.file).exists()
        and file_digest(path) == (shard.num_bytes, shard.sha256)
    }


def _reopen(folder: epath.Path, job: Preparation, there: Mapping[int, Shard]) -> None:
    """Makes what was finished a preparation that goes on: nothing reads shards of before and after as one."""
    write_json(folder / _RECIPE, dataclasses.asdict(job.recipe))
    for number, shard in there.items():
        write_json(folder / f"{_stem(job, number)}.json", dataclasses.asdict(shard))
    (folder / MANIFEST).unlink(missing_ok=True)

"""`pixjax prepare`: a source made into ArrayRecord shards, each a pure function of the recipe and its number.

Hence any number of processes, or machines, may make them in any order, a killed run goes on with the shards
that are missing, and a shard made again has the same bytes.
"""

import dataclasses
import itertools
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from etils import epath

from pixjax.data.images import BadImage
from pixjax.data.preparation import Preparation, records_of_shard
from pixjax.data.shards import (
    MANIFEST,
    Manifest,
    Recipe,
    Shard,
    encode_picture,
    encode_windows,
    file_digest,
    read_shard,
    write_json,
    write_shard,
)
from pixjax.data.source import ImageSource
from pixjax.data.sources import document_files, open_source
from pixjax.data.token_stream import tokenize_documents
from pixjax.data.uri import SourceUri
from pixjax.data.worker import require_guard, start_worker
from pixjax.errors import InputError, RunError
from pixjax.paths import reachable_path

_RECIPE = "recipe.json"  # of a preparation that has not finished
_LOADED_AT_ONCE = 64


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
    files = document_files(SourceUri.parse(job.source), quiet=True)
    documents = (
        document
        for file, first, count in job.runs[number]
        for document in itertools.islice((text for _, text in files[file].read(first) if isinstance(text, str)), count)
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
    first, last = records_of_shard(job.records, job.recipe.num_shards, number)
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

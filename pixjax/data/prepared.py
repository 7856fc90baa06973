"""`array_record:`: the shards that `pixjax prepare` made, read by record."""

import fnmatch
import struct
import threading
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Integer

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import bytes_instead
from pixjax.data.images import BadImage
from pixjax.data.shards import (
    MANIFEST,
    Manifest,
    Shard,
    count_labels,
    coverage_of_shards,
    decode_picture,
    file_digest,
    id_type,
    tokenizer_identity,
)
from pixjax.data.source import Picture
from pixjax.data.source_identity import digest
from pixjax.data.sources import SourceSpec
from pixjax.data.token_stream import Span, TokenStream
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError
from pixjax.paths import cache_folder, is_remote, reachable_path


class PreparedSpec(SourceSpec):
    takes_answer = True

    def contents(self) -> Modality:
        return TEXT if _find(self.uri)[1].recipe.kind == "text" else IMAGE

    def pictures(self, canvas_size: int) -> "PreparedPictures":
        return PreparedPictures(self.uri, canvas_size=canvas_size)

    def texts(self, codec: CanvasCodec, max_bad_fraction: float) -> TokenStream:
        """Raises `InputError` for shards of another tokenizer: their ids would mean other text."""
        folder, manifest, shards = _find(self.uri)
        recipe = manifest.recipe
        assert recipe.codec is not None
        if tokenizer_identity(recipe.codec) != tokenizer_identity(codec):
            raise InputError(
                f"{folder} was prepared with the tokenizer {recipe.codec['tokenizer']!r} of "
                f"{recipe.codec['vocab_size']:,} tokens and the config has "
                f"{codec.tokenizer!r} of {codec.vocab_size:,} (their sha256 differ): set "
                "codec.tokenizer to the same file, or prepare again"
            )
        length = recipe.tokens_per_record
        for shard in shards:
            if shard.num_records != -(-shard.num_tokens // length):
                raise InputError(
                    f"{folder / MANIFEST} is damaged ({shard.num_tokens:,} tokens of {shard.file} are not "
                    f"{shard.num_records:,} records of {length:,}): prepare again"
                )
        coverage = coverage_of_shards(shards)
        coverage.require(str(self.uri), bytes_instead(codec.code))
        tokens = ShardedTokens(ShardFiles(folder, shards), id_type(codec.vocab_size), length)
        return TokenStream(str(self.uri), tokens, capacity=codec.capacity, pad_id=codec.pad_id, coverage=coverage)


class PreparedPictures:
    """Pictures, resized already; their crop is still to choose."""

    modality = IMAGE

    def __init__(self, uri: SourceUri, *, canvas_size: int):
        folder, manifest, shards = _find(uri)
        if manifest.recipe.canvas_size != canvas_size:
            raise InputError(
                f"{folder} was prepared for a canvas of {manifest.recipe.canvas_size} pixels and the config has "
                f"{canvas_size}: set model.canvas_size={manifest.recipe.canvas_size}, or prepare again"
            )
        self.uri = str(uri)
        self.num_labels = max(shard.num_labels for shard in shards)
        self.class_names = manifest.recipe.class_names if self.num_labels else None
        self.class_records = count_labels(shards) or None  # None: prepared by an older version, which counted none
        self.has_captions = manifest.recipe.kind == "captions"
        self._size = canvas_size
        self._files = ShardFiles(folder, shards)

    def __len__(self) -> int:
        return len(self._files)

    def name(self, record: int) -> str:
        return self._files.name(record)

    def fingerprint(self) -> str:
        return self._files.fingerprint()

    def stamp(self, record: int) -> str:
        """Changes with the shard that the record is in."""
        return self._files.stamp(record)

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        numbers = [int(record) for record in records]
        return [self._decode(*of_record) for of_record in zip(numbers, self._files.read(numbers), strict=True)]

    def _decode(self, record: int, data: bytes) -> Picture:
        try:
            picture = decode_picture(data)
        except (ValueError, TypeError, RecursionError, struct.error) as error:
            raise InputError(f"{self.uri}: {self.name(record)} holds no picture ({error}): prepare again") from None
        if min(picture.pixels.shape[:2]) != self._size:
            raise InputError(
                f"{self.uri}: {self.name(record)} is {picture.pixels.shape[:2]}, its short side is not {self._size}: "
                "prepare again"
            )
        return picture


class ShardedTokens:
    """The token ids of all shards, end to end. A record is read once for all the spans that touch it.

    Records hold `length` tokens, but for the last of each shard, which may be the only one.
    """

    def __init__(self, files: "ShardFiles", dtype: np.dtype, length: int):
        self._files = files
        self._dtype = dtype
        self._length = length
        self._starts = np.cumsum([0, *(shard.num_tokens for shard in files.shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def fingerprint(self) -> str:
        return self._files.fingerprint()

    def read(self, spans: Sequence[Span]) -> list[Integer[np.ndarray, " _length"]]:
        pieces = [self._pieces(span) for span in spans]
        wanted = sorted({record for of_span in pieces for record, _, _ in of_span})
        data = dict(zip(wanted, self._files.read(wanted), strict=True))
        ids = {record: np.frombuffer(block, self._dtype) for record, block in data.items()}
        return [
            np.concatenate([ids[record][start:stop] for record, start, stop in of_span])
            if of_span
            else np.zeros(0, self._dtype)
            for of_span in pieces
        ]

    def _pieces(self, span: Span) -> list[tuple[int, int, int]]:
        """(record, start, stop) of each record's share of a span."""
        place, end = span
        pieces = []
        while place < end:
            shard = int(np.searchsorted(self._starts, place, "right")) - 1
            number, start = divmod(place - int(self._starts[shard]), self._length)
            stop = min(self._length, start + end - place, start + int(self._starts[shard + 1]) - place)
            pieces.append((int(self._files.firsts[shard]) + number, start, stop))
            place += stop - start
        return pieces


class ShardFiles:
    """Records of several shards by one index. Opened once a process, when first read; threads may share it."""

    def __init__(self, folder: epath.Path, shards: tuple[Shard, ...]):
        self.folder = folder
        self.shards = shards
        self.firsts = np.cumsum([0, *(shard.num_records for shard in shards)])
        self._readers: dict[int, _ShardReader] = {}
        for shard in shards:
            _check_size(folder / shard.file, shard)

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_readers": {}}

    def fingerprint(self) -> str:
        return digest(shard.sha256 for shard in self.shards)

    def name(self, record: int) -> str:
        shard, position = self._locate(record)
        return f"{self.shards[shard].file} record {position}"

    def stamp(self, record: int) -> str:
        shard, position = self._locate(record)
        return f"{self.shards[shard].sha256} {position}"

    def _locate(self, record: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self.firsts, record, "right")) - 1
        return shard, record - int(self.firsts[shard])

    def read(self, records: Sequence[int]) -> list[bytes]:
        """The records in the order asked for. Raises `InputError` naming shard and position of a damaged one."""
        blocks = []
        of_record = (np.searchsorted(self.firsts, records, "right") - 1).tolist()
        for record, shard in zip(records, of_record, strict=True):
            position = record - int(self.firsts[shard])
            try:
                blocks.append(self._reader(shard).read(position))
            except InputError:
                raise
            except Exception as error:  # the library raises what it likes
                self._readers.pop(shard, None)
                reason = " ".join(str(error).split())[:120]
                raise InputError(
                    f"{self.folder / self.shards[shard].file} is damaged at record {position} ({reason}): run the "
                    "same pixjax prepare again, which makes damaged shards anew"
                ) from None
        return blocks

    def _reader(self, shard: int) -> "_ShardReader":
        if shard not in self._readers:
            path = _local_copy(self.folder / self.shards[shard].file, self.shards[shard])
            self._readers[shard] = _ShardReader(path)
        return self._readers[shard]


class _ShardReader:
    """Records of one file by position, from any thread.

    The library's own reading of several records at once sends each to a pool of threads, which costs twice as much as
    the reading.
    """

    def __init__(self, path: epath.Path):
        from array_record.python.array_record_module import ArrayRecordReader

        self._reader = ArrayRecordReader(str(path), "readahead_buffer_size:0,max_parallelism:0")
        self._lock = threading.Lock()

    def read(self, position: int) -> bytes:
        with self._lock:
            self._reader.seek(position)
            return self._reader.read()


def _find(uri: SourceUri) -> tuple[epath.Path, Manifest, tuple[Shard, ...]]:
    """The folder, its manifest, and the shards that the URI chooses: all of a folder, or those that match."""
    uri.require_options("answer")
    place = reachable_path(uri.place)
    folder, pattern = (place, "*") if place.is_dir() else (place.parent, place.name)
    if not folder.exists():
        raise InputError(f"{uri} matches no file: {folder} does not exist")
    if folder != place and not (folder / MANIFEST).exists():
        raise InputError(f"{uri} matches no file: {place} does not exist, and {folder} was not made by pixjax prepare")
    manifest = Manifest.load(folder)
    shards = tuple(shard for shard in manifest.shards if fnmatch.fnmatch(shard.file, pattern) and shard.num_records)
    if not shards:
        raise InputError(f"{uri} matches no shard of {folder}: it has {manifest.shards[0].file} and so on")
    return folder, manifest, shards


def _check_size(path: epath.Path, shard: Shard) -> None:
    if not path.exists():
        raise InputError(f"{path} is missing: run the same pixjax prepare again, which makes missing shards anew")
    if (size := path.stat().length) != shard.num_bytes:
        raise InputError(
            f"{path} is truncated at byte {size:,} of {shard.num_bytes:,}: run the same pixjax prepare again, which "
            "makes damaged shards anew"
        )


def _local_copy(path: epath.Path, shard: Shard) -> epath.Path:
    """ArrayRecord reads local files only: a remote shard is copied once, under its checksum."""
    if not is_remote(path):
        return path
    if (cache := cache_folder()) is None:
        raise InputError(f"{path} needs a folder for its copy, and this user has no home: set XDG_CACHE_HOME")
    cached = epath.Path(cache) / "shards" / f"{shard.sha256}.array_record"
    if cached.exists():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    draft = cached.with_name(f".{cached.name}.{uuid.uuid4().hex}.tmp")  # others may be copying the same shard
    try:
        path.download(draft)
        if file_digest(draft) != (shard.num_bytes, shard.sha256):
            raise InputError(
                f"{path} is not the file that its manifest describes (its sha256 differs): run the same pixjax prepare "
                "again, which makes damaged shards anew"
            )
        draft.replace(cached)
    finally:
        draft.unlink(missing_ok=True)
    return cached

"""The bytes of one record in a prepared shard, and shards written whole or not at all.

A picture: a header of four little-endian numbers (height and width uint16, label int32, length of the
captions uint32), the pixels as uint8 rows, and the captions as a JSON list. A window of text: token ids,
little-endian uint8, uint16 or uint32, whichever is the smallest that holds the vocabulary; all windows of a
shard are full but the last.
"""

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Iterable

import numpy as np
from etils import epath
from jaxtyping import Integer

from pixjax.data.source import Picture
from pixjax.paths import is_remote

_HEADER = struct.Struct("<HHiI")

# One record a group: reading one does not decompress others. Pixels and ids hardly compress, and are read
# often.
_WRITER_OPTIONS = "group_size:1,uncompressed"


def encode_picture(picture: Picture) -> bytes:
    height, width = picture.pixels.shape[:2]
    captions = json.dumps(picture.captions, ensure_ascii=False).encode() if picture.captions else b""
    return _HEADER.pack(height, width, picture.label, len(captions)) + picture.pixels.tobytes() + captions


def decode_picture(record: bytes) -> Picture:
    height, width, label, length = _HEADER.unpack_from(record)
    pixels = np.frombuffer(record, np.uint8, height * width * 3, _HEADER.size).reshape(height, width, 3)
    captions = tuple(json.loads(record[-length:])) if length else ()
    return Picture(pixels, label, captions)


def id_type(vocab_size: int) -> np.dtype:
    """How ids of a vocabulary are stored."""
    return np.dtype(np.min_scalar_type(vocab_size - 1)).newbyteorder("<")


def encode_windows(ids: Integer[np.ndarray, "tokens"], capacity: int, vocab_size: int) -> list[bytes]:
    stored = ids.astype(id_type(vocab_size))
    return [stored[start : start + capacity].tobytes() for start in range(0, len(stored), capacity)]


def write_shard(path: epath.Path, records: Iterable[bytes]) -> tuple[int, int, str]:
    """Number of records, bytes and sha256 of the finished file, which appears under its name all at once."""
    from array_record.python.array_record_module import ArrayRecordWriter

    local = path if not is_remote(path) else epath.Path(tempfile.gettempdir()) / path.name
    draft = local.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        writer = ArrayRecordWriter(os.fspath(draft), _WRITER_OPTIONS)
        count = 0
        for record in records:
            writer.write(record)
            count += 1
        writer.close()
        size, digest = file_digest(draft)
        if local == path:
            draft.replace(path)
        else:
            path.upload(draft)
        return count, size, digest
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def file_digest(path: epath.Path) -> tuple[int, str]:
    """Bytes and sha256 of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()

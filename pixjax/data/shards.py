"""The files of a preparation: shards of records, written whole or not at all, and the manifest that describes them.

A record of a picture is a header of four little-endian numbers (height and width uint16, label int32, length of the
captions uint32), the pixels as uint8 rows, and the captions as a JSON list. A record of text is a window of token ids,
little-endian uint8, uint16 or uint32, whichever is the smallest that holds the vocabulary; all windows of a shard are
full but the last.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Integer

from pixjax.codec import CanvasCodec
from pixjax.codec.codes import parse_code
from pixjax.codec.coverage import Coverage
from pixjax.codec.description import settings_of
from pixjax.codec.layout import cell_pixels
from pixjax.data.labels import count_classes
from pixjax.data.source import Picture
from pixjax.errors import InputError
from pixjax.notation import parse_patch_size
from pixjax.paths import is_remote, write_whole

MANIFEST = "manifest.json"
FORMAT = 1
# Of a shard in the folder of its manifest, and of what is cached under its checksum: neither leads elsewhere.
_FILE_NAME = re.compile(r"[\w.-]+\.array_record")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One finished file. `skipped` names what was passed over: [name, cause, detail] each.

    num_characters, num_lost: of the text that went in, where the tokenizer rewrites it: `pixjax.codec.coverage`.
    inputs: sha256 of names, sizes, times and labels of the pictures that went in, empty for text. labels: how many
    records have each label.
    """

    file: str
    num_records: int
    num_tokens: int = 0
    num_bytes: int
    sha256: str
    num_labels: int = 0
    num_characters: int = 0
    num_lost: int = 0
    skipped: tuple[tuple[str, str, str], ...] = ()
    inputs: str = ""
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the bytes of the shards. Two equal recipes make equal files.

    kind: text, images or captions. fingerprint: sha256 of the texts, or of the names of the pictures, that
    went in. codec: `CanvasCodec.to_dict()` for text, else None. records: windows of text, or pictures, before
    any is skipped. class_names: of the labels, by number, where they have names.
    """

    kind: str
    source: str
    fingerprint: str
    canvas_size: int
    num_shards: int
    resize: str | None = None
    codec: dict[str, Any] | None = None
    class_names: tuple[str, ...] | None = None
    format: int = FORMAT

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """Raises TypeError or ValueError for values that are none."""
        names = values.get("class_names")
        if names is not None and not (isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)):
            raise ValueError(f"class_names are {str(names)[:60]}")
        return cls(**{**values, "class_names": None if names is None else tuple(names)})

    @property
    def tokens_per_record(self) -> int:
        """What fits on a canvas of the codec: the tokens of every record of text but the last of its shard.

        No tokenizer file is needed for it. Raises `InputError` for a recipe without a codec, or a damaged one.
        """
        settings = settings_of(self.codec, f"the codec of what was prepared from {self.source}")
        assert self.codec is not None
        cells = cell_pixels(
            layout=settings["layout"],
            canvas_size=settings["canvas_size"],
            patch=parse_patch_size(settings["patch_size"]),
            pixels=parse_code(settings["code"], self.codec["vocab_size"]).pixels,
            marker_size=settings["marker_size"] if settings["marker"] else 0,
        )
        return len(cells)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    recipe: Recipe
    shards: tuple[Shard, ...]

    @property
    def num_records(self) -> int:
        return sum(shard.num_records for shard in self.shards)

    @property
    def classes(self) -> dict[str, int]:
        """Records by the name of their class, or its number; nothing where there are no labels."""
        return count_classes(self.recipe.class_names, count_labels(self.shards))

    def to_dict(self) -> dict[str, Any]:
        causes = [cause for shard in self.shards for _, cause, _ in shard.skipped]
        return {
            "num_records": self.num_records,
            "num_skipped": len(causes),
            "skipped": {cause: causes.count(cause) for cause in sorted(set(causes))},
            **dataclasses.asdict(self.recipe),
            "num_tokens": sum(shard.num_tokens for shard in self.shards),
            "num_characters": sum(shard.num_characters for shard in self.shards),
            "num_lost": sum(shard.num_lost for shard in self.shards),
            "num_labels": max((shard.num_labels for shard in self.shards), default=0),
            "classes": self.classes,
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        recipe = {field.name: values[field.name] for field in dataclasses.fields(Recipe) if field.name in values}
        return cls(recipe=Recipe.from_dict(recipe), shards=tuple(shard_from_dict(shard) for shard in values["shards"]))

    def save(self, folder: epath.Path) -> None:
        write_json(folder / MANIFEST, self.to_dict())

    @classmethod
    def load(cls, folder: epath.Path) -> "Manifest":
        """Raises `InputError` where there is none, or it is damaged or of another version."""
        path = folder / MANIFEST
        if not path.exists():
            raise InputError(f"{folder} holds no {MANIFEST}: make one with pixjax prepare, or let it finish")
        try:
            values = json.loads(path.read_bytes())
            if values["format"] != FORMAT:
                raise InputError(f"{path} has format {values['format']}, this version reads {FORMAT}: prepare again")
            return cls.from_dict(values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged ({error}): prepare again") from None


def shard_from_dict(values: dict[str, Any]) -> Shard:
    """Raises ValueError, KeyError or TypeError for values that are none, a file outside of the folder among them."""
    shard = Shard(**{**values, "skipped": tuple(tuple(entry) for entry in values["skipped"])})
    if not isinstance(shard.inputs, str) or not all(type(count) is int for count in shard.labels.values()):
        raise ValueError(f"the labels or inputs of {shard.file!r} are none")
    if not _FILE_NAME.fullmatch(shard.file) or not _SHA256.fullmatch(shard.sha256):
        raise ValueError(f"no shard is named {shard.file!r} and has the sha256 {shard.sha256!r}")
    counts = (shard.num_records, shard.num_tokens, shard.num_bytes, shard.num_labels)
    for number in (*counts, shard.num_characters, shard.num_lost):
        if type(number) is not int or number < 0:
            raise ValueError(f"{number!r} of {shard.file} is no count")
    return shard


def coverage_of_shards(shards: Sequence[Shard]) -> Coverage:
    """What of a text is in its shards. It is not known whether the text was blank."""
    return Coverage(
        characters=sum(shard.num_characters for shard in shards), lost=sum(shard.num_lost for shard in shards)
    )


def count_labels(shards: Iterable[Shard]) -> dict[int, int]:
    """Records of each label, by number; -1 for those without one."""
    counts = Counter[int]()
    for shard in shards:
        counts.update({int(label): count for label, count in shard.labels.items()})
    return dict(sorted(counts.items()))


def read_shard(path: epath.Path) -> Shard:
    """The note that a shard is finished. Raises `InputError` for one that is damaged."""
    try:
        return shard_from_dict(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it, and what it describes is made anew") from None


def write_json(path: epath.Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    write_whole(path, (json.dumps(values, indent=2) + "\n").encode())


def tokenizer_identity(codec: CanvasCodec | dict[str, Any]) -> tuple:
    """Equal for codecs whose ids mean the same text; colours and layout do not matter to it."""
    values = codec if isinstance(codec, dict) else codec.to_dict()
    files = tuple(sorted(values["tokenizer_sha256"].values()))
    return (files or values["tokenizer"], values["vocab_size"])


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

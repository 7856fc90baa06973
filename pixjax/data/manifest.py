"""`manifest.json`: what `pixjax prepare` made, so that a reader can tell whether it is whole and fits."""

import dataclasses
import json
from typing import Any

from etils import epath

from pixjax.codec import CanvasCodec
from pixjax.codec.color import parse_code
from pixjax.codec.description import settings_of
from pixjax.codec.layout import cell_pixels
from pixjax.config import parse_patch_size
from pixjax.errors import InputError

MANIFEST = "manifest.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One finished file. `skipped` names what was passed over: [name, cause, detail] each."""

    file: str
    num_records: int
    num_tokens: int = 0
    num_bytes: int
    sha256: str
    num_labels: int = 0
    skipped: tuple[tuple[str, str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the bytes of the shards. Two equal recipes make equal files.

    kind: text, images or captions. fingerprint: sha256 of the texts, or of the names of the pictures, that
    went in. codec: `CanvasCodec.to_dict()` for text, else None. records: windows of text, or pictures, before
    any is skipped.
    """

    kind: str
    source: str
    fingerprint: str
    canvas_size: int
    num_shards: int
    resize: str | None = None
    codec: dict[str, Any] | None = None
    format: int = FORMAT

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

    def to_dict(self) -> dict[str, Any]:
        causes = [cause for shard in self.shards for _, cause, _ in shard.skipped]
        return {
            "num_records": self.num_records,
            "num_skipped": len(causes),
            "skipped": {cause: causes.count(cause) for cause in sorted(set(causes))},
            **dataclasses.asdict(self.recipe),
            "num_tokens": sum(shard.num_tokens for shard in self.shards),
            "num_labels": max((shard.num_labels for shard in self.shards), default=0),
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        recipe = {field.name: values[field.name] for field in dataclasses.fields(Recipe)}
        return cls(recipe=Recipe(**recipe), shards=tuple(shard_from_dict(shard) for shard in values["shards"]))

    def save(self, folder: epath.Path) -> None:
        write_json(folder / MANIFEST, self.to_dict())

    @classmethod
    def load(cls, folder: epath.Path) -> "Manifest":
        """Raises `InputError` where there is none, or it is damaged or of another version."""
        path = folder / MANIFEST
        if not path.exists():
            raise InputError(f"{folder} holds no {MANIFEST}: make one with pixjax prepare, or let it finish")
        try:
            values = json.loads(path.read_text())
            if values["format"] != FORMAT:
                raise InputError(f"{path} has format {values['format']}, this version reads {FORMAT}: prepare again")
            return cls.from_dict(values)
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is damaged ({error}): prepare again") from None


def shard_from_dict(values: dict[str, Any]) -> Shard:
    return Shard(**{**values, "skipped": tuple(tuple(entry) for entry in values["skipped"])})


def write_json(path: epath.Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.parent / f".{path.name}.tmp"
    draft.write_text(json.dumps(values, indent=2) + "\n")
    draft.replace(path)


def tokenizer_identity(codec: CanvasCodec | dict[str, Any]) -> tuple:
    """Equal for codecs whose ids mean the same text; colours and layout do not matter to it."""
    values = codec if isinstance(codec, dict) else codec.to_dict()
    files = tuple(sorted(values["tokenizer_sha256"].values()))
    return (files or values["tokenizer"], values["vocab_size"])

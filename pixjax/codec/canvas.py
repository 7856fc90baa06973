"""The codec: text to canvases and back, from a tokenizer, a color code, a layout and a marker."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Bool, Float, Int, Integer, Shaped, UInt8

from pixjax.codec import id_stream
from pixjax.codec.bulk import BulkPainter
from pixjax.codec.cells import Cells
from pixjax.codec.codes import parse_code
from pixjax.codec.color import ColorCode
from pixjax.codec.description import describe, parse_description, settings_of
from pixjax.codec.layout import cell_pixels
from pixjax.codec.modality import TEXT, Modality, paint_marker, read_marker
from pixjax.codec.reading import Decoded, read_ids
from pixjax.codec.scale import Array, as_array
from pixjax.codec.tokenizer import Tokenizer
from pixjax.codec.tokenizer_files import (
    BUILT_IN,
    digests,
    is_regular_file,
    kept_name,
    make_tokenizer,
    read_kept_files,
    read_tokenizer_files,
    verify_digests,
)
from pixjax.errors import InputError
from pixjax.notation import MAX_CANVAS_SIZE, parse_patch_size


@dataclasses.dataclass(frozen=True, eq=False)
class CanvasCodec:
    """Text to uint8 canvases [n, canvas_size, canvas_size, 3] and back.

    tokenizer: `bytes`, `chars27`, FILE.json (Hugging Face), FILE.model (SentencePiece), or a folder with
    `vocab.json` and `merges.txt`.
    code: `base256`, or `radix:LEVELS|auto:PIXELS[:counting|gray|permuted]`.
    layout: `raster`, or `patch` (all pixels of one patch, `patch_size` large, before the next).
    marker: the top-left `marker_size` x `marker_size` pixels say text or image and carry no tokens.
    normalize: rewrite text that the tokenizer cannot represent instead of refusing it.
    tokenizer_files: the content of the tokenizer's files; read from the path that `tokenizer` is when None.

    Two codecs are equal when they paint alike, wherever their tokenizer files lie. Raises
    `InputError` when the parts do not fit one another.
    """

    tokenizer: str = "bytes"
    code: str = "radix:auto:1"
    layout: str = "raster"
    canvas_size: int = 64
    marker: bool = True
    marker_size: int = dataclasses.field(default=1, kw_only=True)
    patch_size: str = dataclasses.field(default="4", kw_only=True)
    normalize: bool = dataclasses.field(default=False, kw_only=True)
    tokenizer_files: Mapping[str, bytes] | None = dataclasses.field(default=None, kw_only=True, repr=False)

    def __post_init__(self):
        if not 1 <= self.canvas_size <= MAX_CANVAS_SIZE:
            raise InputError(
                f"a canvas of {self.canvas_size} pixels a side cannot be: choose 1 to {MAX_CANVAS_SIZE}, such as 64"
            )
        if self.marker and not 0 < self.marker_size <= self.canvas_size:
            raise InputError(f"a marker of {self.marker_size} pixels does not fit: choose 1 to {self.canvas_size}")
        if self.tokenizer_files is None:
            object.__setattr__(self, "tokenizer_files", read_tokenizer_files(self.tokenizer))
        _ = self.cell_index  # builds the tokenizer, the code and the layout: each refuses what it cannot do

    @functools.cached_property
    def text_tokenizer(self) -> Tokenizer:
        return make_tokenizer(self.tokenizer, self.tokenizer_files or {}, self.normalize)

    @functools.cached_property
    def color_code(self) -> ColorCode:
        return parse_code(self.code, self.text_tokenizer.vocab_size)

    @functools.cached_property
    def cell_index(self) -> Int[np.ndarray, "capacity pixels"]:
        """The flat pixel index of every pixel of every cell."""
        return cell_pixels(
            layout=self.layout,
            canvas_size=self.canvas_size,
            patch=parse_patch_size(self.patch_size),
            pixels=self.color_code.pixels,
            marker_size=self.marker_size if self.marker else 0,
        )

    @functools.cached_property
    def _cells(self) -> Cells:
        return Cells(self.cell_index, self.canvas_size)

    @functools.cached_property
    def _bulk(self) -> BulkPainter:
        patch = parse_patch_size(self.patch_size) if self.layout == "patch" else (1, self.canvas_size)
        return BulkPainter(self.color_code, self.cell_index, self.canvas_size, patch)

    @property
    def capacity(self) -> int:
        """Tokens on one canvas."""
        return len(self.cell_index)

    @property
    def vocab_size(self) -> int:
        return self.text_tokenizer.vocab_size

    @property
    def pad_id(self) -> int:
        return self.text_tokenizer.pad_id

    @property
    def eos_id(self) -> int:
        return self.text_tokenizer.eos_id

    @property
    def colors(self) -> Float[np.ndarray, "vocab pixels 3"]:
        """The palette: the colours of every id, float32 in [-1, 1]."""
        return self.color_code.colors

    # What it is, to be kept and compared

    def to_dict(self) -> dict[str, Any]:
        """A description in JSON types: the settings, the vocabulary's size, the sha256 of the tokenizer's
        files.
        """
        files = self.tokenizer_files or {}
        settings = {**vars(self), "tokenizer": kept_name(self.tokenizer, files)}
        return describe(settings, self.vocab_size, digests(files))

    @classmethod
    def from_dict(
        cls,
        description: Mapping[str, Any],
        tokenizer_files: Mapping[str, bytes] | None = None,
        where: str = "codec",
    ) -> "CanvasCodec":
        """The codec that `to_dict` described; `tokenizer_files` are needed unless its tokenizer is built in.

        Raises `InputError` when the description is not whole or the files are not those it was made with.
        """
        settings = settings_of(description, where)
        files = dict(tokenizer_files or {})
        if settings["tokenizer"] not in BUILT_IN and not description["tokenizer_sha256"]:
            raise InputError(f"{where} does not say which files its tokenizer has: it was damaged")
        verify_digests(files, description["tokenizer_sha256"], where)
        codec = cls(**settings, tokenizer_files=files)
        if codec.vocab_size != description["vocab_size"]:
            raise InputError(
                f"{where} was made for {description['vocab_size']:,} tokens and the tokenizer has "
                f"{codec.vocab_size:,}: it was damaged"
            )
        return codec

    def save(self, directory: Any) -> None:
        """Writes `codec.json` and the tokenizer's files into a folder, local or remote."""
        folder = epath.Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in (self.tokenizer_files or {}).items():
            (folder / name).write_bytes(data)
        (folder / "codec.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Any) -> "CanvasCodec":
        """The codec that `save` wrote. Raises `InputError` when a file is missing or was changed."""
        folder = epath.Path(directory)
        path = folder / "codec.json"
        if not is_regular_file(path):
            raise InputError(f"{folder} holds no codec.json: give the folder that a codec was saved in")
        description = parse_description(path.read_bytes(), str(path))
        return cls.from_dict(description, read_kept_files(folder, description["tokenizer_sha256"]), str(path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CanvasCodec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict()))

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: what is derived from them is made again in the process that unpickles."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    # Text and ids

    def tokenize(self, text: str) -> Int[np.ndarray, "n"]:
        """int32 ids, without PAD or EOS. Raises `InputError` for text that the tokenizer cannot represent."""
        return self.text_tokenizer.encode(text)

    def detokenize(self, ids: Integer[np.ndarray, "..."]) -> str:
        """The text of a stream of ids: PAD is not printed, EOS is a blank line."""
        return "\n\n".join(self.split_documents(ids))

    def split_documents(self, ids: Integer[np.ndarray, "..."]) -> tuple[str, ...]:
        """The documents of a stream of ids, split at EOS; PAD is not printed."""
        return id_stream.split_documents(ids, self.text_tokenizer)

    def count_characters(self, ids: Integer[np.ndarray, "n"]) -> int:
        """How many characters begin in ids that may be cut anywhere, between the letters of a word or the bytes of a
        letter; PAD and EOS are none, but where they are drawn as a space every space is one.
        """
        return id_stream.count_characters(ids, self.text_tokenizer)

    def pack(self, ids: Integer[np.ndarray, "n"]) -> Int[np.ndarray, "canvases capacity"]:
        """A stream of ids cut into canvases, at least one, the tail filled with PAD."""
        return id_stream.pack(ids, self.capacity, self.pad_id)

    # Text and ids to canvases

    def encode(self, text: str | Sequence[str]) -> UInt8[np.ndarray, "n height width 3"]:
        """A text, or documents joined by EOS, as text canvases; PAD fills the tail of the last."""
        documents = [text] if isinstance(text, str) else list(text)
        parts = [self.tokenize(document) for document in documents]
        ends = np.full(1, self.eos_id, np.int32)
        stream = [piece for part in parts for piece in (ends, part)][1:]
        return self.encode_ids(self.pack(np.concatenate(stream) if stream else np.zeros(0, np.int32)))

    def encode_ids(self, ids: Int[Array, "*batch capacity"]) -> UInt8[Array, "*batch height width 3"]:
        """Ids painted on text canvases, marker included. NumPy or JAX."""
        ids = as_array(ids)
        if ids.__array_namespace__() is np:
            # Below zero is far above all ids without a sign, in four bytes or more, so that one pass tells both.
            wide = ids if ids.itemsize >= 4 else ids.astype(np.int32)
            if ids.size and not wide.view(wide.dtype.str.replace("i", "u")).max() < self.vocab_size:
                raise InputError(
                    f"ids reach from {ids.min()} to {ids.max()}: they have to be in [0, {self.vocab_size})"
                )
            painted = self._bulk.paint(ids.reshape(-1, self.capacity))
            return painted.reshape(*ids.shape[:-1], *painted.shape[1:])
        return self._cells.paint(self.color_code.encode(ids))

    def loss_mask(
        self, ids: Int[Array, "*batch capacity"], lengths: Int[Array, "*batch"] | None = None
    ) -> Bool[Array, "*batch height width"]:
        """Which pixels a loss counts: all but PAD cells and left-over pixels that carry nothing.

        lengths: tokens of each canvas before its PAD. Needed only for `chars27` text that ends in spaces, as its PAD is
        a space too: without it the PAD is the run of spaces at the end.
        """
        ids = as_array(ids)
        xp = ids.__array_namespace__()
        position = xp.broadcast_to(xp.arange(self.capacity), ids.shape)
        if lengths is not None:
            counted = position < xp.asarray(lengths)[..., None]
        elif self.pad_id == self.eos_id:
            last = xp.max(xp.where(ids != self.pad_id, position, -1), axis=-1, keepdims=True)
            counted = position <= last
        else:
            counted = ids != self.pad_id
        return self.mask_of_cells(counted)

    def mask_of_cells(self, counted: Bool[Array, "*batch capacity"]) -> Bool[Array, "*batch height width"]:
        """The pixels of these cells, and of the marker. NumPy or JAX."""
        counted = as_array(counted)
        mask, xp = self._cells.mask(counted), counted.__array_namespace__()
        return mask | xp.broadcast_to(xp.asarray(self.marker_pixels), mask.shape)

    @functools.cached_property
    def marker_pixels(self) -> Bool[np.ndarray, "height width"]:
        """Where the marker is; nowhere without one."""
        side = np.arange(self.canvas_size) < (self.marker_size if self.marker else 0)
        return side[:, None] & side

    def mark(
        self, canvas: Shaped[Array, "*batch height width 3"], modality: int | str | Int[Array, "*batch"]
    ) -> Shaped[Array, "*batch height width 3"]:
        """The canvas with the marker of its modality painted; as it is where the codec has no marker.

        modality: `Modality` or its name, of all canvases, or the number of each.
        """
        modality = Modality.of(modality) if isinstance(modality, str) else modality
        return paint_marker(as_array(canvas), modality, self.marker_size) if self.marker else canvas

    # Canvases to ids and text: reading.py

    def decode(self, canvases: Shaped[Array, "*n height width 3"]) -> Decoded:
        """Reads canvases, uint8 or float in [-1, 1]; whatever they hold, it reads something."""
        canvases = np.asarray(canvases)
        canvases = canvases[None] if canvases.ndim == 3 else canvases
        if canvases.shape[1:] != (self.canvas_size, self.canvas_size, 3):
            raise InputError(
                f"canvases of shape {canvases.shape[1:]} do not fit this codec: they have to be "
                f"{self.canvas_size} x {self.canvas_size} x 3"
            )
        if canvases.dtype != np.uint8 and not np.issubdtype(canvases.dtype, np.floating):
            raise InputError(f"canvases of {canvases.dtype} cannot be read: give uint8, or floats in [-1, 1]")
        ids, margin = self.decode_ids(canvases)
        modality, modality_margin = self.decode_modality(canvases)
        documents = self.split_documents(ids[modality == TEXT])
        return Decoded(
            text="\n\n".join(documents),
            documents=documents,
            texts=tuple(self.detokenize(row) if m == TEXT else "" for row, m in zip(ids, modality, strict=True)),
            token_ids=ids,
            margin=margin,
            modality=modality,
            modality_margin=modality_margin,
        )

    def decode_ids(self, x: Shaped[Array, "*batch height width 3"]) -> tuple[Any, Any]:
        """Nearest legal ids, int32 [*batch, capacity], and margins, float32 alike, from uint8 or floats in [-1, 1]."""
        x = as_array(x)
        if x.__array_namespace__() is not np:
            return self.color_code.decode(self._cells.read(x))
        return read_ids(x, self.color_code, self._cells, self._bulk)

    def nearest_ids(self, canvases: UInt8[np.ndarray, "*batch height width 3"]) -> Int[np.ndarray, "*batch capacity"]:
        """The ids of `decode_ids` without the margins, for uint8 canvases in NumPy: much faster."""
        flat = canvases.reshape(-1, self.canvas_size, self.canvas_size, 3)
        return self._bulk.nearest_ids(flat).reshape(*canvases.shape[:-3], self.capacity)

    def decode_modality(self, x: Shaped[Array, "*batch height width 3"]) -> tuple[Any, Any]:
        """The nearest tag, int32 [*batch], and its margin, float32 [*batch]."""
        x = as_array(x)
        if self.marker:
            return read_marker(x, self.marker_size)
        xp = x.__array_namespace__()
        return xp.full(x.shape[:-3], TEXT, xp.int32), xp.zeros(x.shape[:-3], xp.float32)

    def decode_soft(
        self,
        x: Shaped[Array, "*batch height width 3"],
        sigma: float | Float[Array, "*#batch"],
        log_prior: Float[Array, "vocab"] | None = None,
    ) -> Float[Array, "*batch capacity vocab"]:
        """log p(id | x) in nats for every cell of x = canvas + sigma · ε, on the scale [-1, 1]: exact.

        log_prior: unigram log-probabilities of the ids, None for uniform; it need not be normalised.
        """
        x = as_array(x)
        scale = x.__array_namespace__().asarray(sigma)[..., None]
        return self.color_code.decode_soft(self._cells.read(x), scale, log_prior)

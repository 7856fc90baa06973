"""Canvases as PNG files that can be read by themselves: text chunks carry the codec, its tokenizer included.

Chunks: `pixjax:codec` (JSON: the codec's description, the sha256 of the pixels, and which page of which text
it is) and, for each file of the tokenizer, `pixjax:file:NAME` (xz, base64).
"""

import base64
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import lzma
import struct
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from pixjax.codec.canvas import CanvasCodec
from pixjax.codec.description import parse_description
from pixjax.codec.tokenizer_files import MAX_BYTES
from pixjax.errors import InputError

_CODEC, _FILE = "pixjax:codec", "pixjax:file:"
_PIXELS, _PLACE = "pixels_sha256", ("text_id", "page", "pages")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MAX_SIDE = 4096
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """A canvas as it was read. `text_id` is the same for all pages of one text, and None where the file says
    nothing.
    """

    canvas: UInt8[np.ndarray, "height width 3"]
    codec: CanvasCodec
    text_id: str | None = None
    page: int = 1
    pages: int = 1


def write_pages(out: str | Path, canvases: UInt8[np.ndarray, "n height width 3"], codec: CanvasCodec) -> list[Path]:
    """Writes X.png, or X-0001.png, X-0002.png, … when there are several, and returns the paths.

    Raises `InputError` before anything is written when pages of a longer text lie there under the same name.
    """
    out = Path(out)
    if out.suffix.lower() != ".png":
        raise InputError(f"{out} does not end in .png: a canvas survives only a lossless file")
    digits = max(4, len(str(len(canvases))))
    numbered = [out.with_name(f"{out.stem}-{i + 1:0{digits}}{out.suffix}") for i in range(len(canvases))]
    paths = [out] if len(canvases) == 1 else numbered
    for stale in out.parent.glob(f"{_escape(out.stem)}-*{out.suffix}"):
        if stale.stem[len(out.stem) + 1 :].isdecimal() and stale not in paths:
            raise InputError(f"{stale} is left from another text: remove it, or choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    text_id = hashlib.sha256(canvases.tobytes()).hexdigest()[:16]
    for i, (path, canvas) in enumerate(zip(paths, canvases, strict=True)):
        write_png(path, canvas, codec, text_id=text_id, page=i + 1, pages=len(canvases))
    return paths


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def write_png(
    path: str | Path,
    canvas: UInt8[np.ndarray, "height width 3"],
    codec: CanvasCodec,
    *,
    text_id: str | None = None,
    page: int = 1,
    pages: int = 1,
) -> None:
    """Writes one canvas with everything that is needed to read it."""
    from PIL import Image, PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    place = {"text_id": text_id, "page": page, "pages": pages} if text_id else {}
    description = {**codec.to_dict(), _PIXELS: hashlib.sha256(canvas.tobytes()).hexdigest(), **place}
    chunks.add_text(_CODEC, json.dumps(description))
    for name, data in (codec.tokenizer_files or {}).items():
        chunks.add_text(_FILE + name, _packed(data))
    content = io.BytesIO()  # Pillow itself opens no path in a store
    Image.fromarray(canvas).save(content, format="PNG", pnginfo=chunks)
    (Path(path) if isinstance(path, str) else path).write_bytes(content.getvalue())


@functools.lru_cache(maxsize=4)
def _packed(data: bytes) -> str:
    return base64.b64encode(lzma.compress(data)).decode("ascii")


@functools.lru_cache(maxsize=4)
def _unpacked(text: str, where: str) -> bytes:
    try:
        unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=2 * MAX_BYTES)
        data = unpacker.decompress(base64.b64decode(text, validate=True), max_length=MAX_BYTES + 1)
    except (ValueError, lzma.LZMAError):
        raise InputError(f"{where}: the tokenizer inside is damaged: fetch the file again") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{where}: the tokenizer inside is larger than {MAX_BYTES >> 20} MiB: that is no tokenizer")
    return data


def read_page(path: str | Path, codec: CanvasCodec | None = None, tolerant: bool = False) -> Page:
    """Reads a canvas, and its codec from the file itself; `codec` is used only where the file has none.

    How the pixels are stored does not matter: as a palette, in grey, with alpha, interlaced, in 16 bits. Raises
    `InputError` for what is not a canvas: another size than a canvas has, or pixels that were changed (recompressed,
    resized, edited) after it was written, or, where the file does not say, that are no colours of the code.
    `tolerant` reads changed pixels all the same.
    """
    canvas, chunks, stored = _read_rgb(Path(path))
    if _CODEC not in chunks:
        if codec is None:
            raise InputError(
                f"{path} does not carry its codec: it is not a canvas, or was converted since; if it is one, say what "
                "it was written with (--tokenizer, --code, --layout)"
            )
        _require_size(path, canvas, codec.canvas_size)
        exact = float((codec.decode_ids(canvas)[1] == 1).mean())
        if exact < 0.5 and not tolerant:
            raise InputError(
                f"{path} ({stored}) is not a canvas: {1 - exact:.0%} of its cells are no colour of {codec.code}; it "
                "was recompressed, or written with another codec (--tolerant reads it all the same)"
            )
        return Page(canvas=canvas, codec=codec)

    description = parse_description(chunks[_CODEC], str(path))
    _require_size(path, canvas, description["canvas_size"])
    if hashlib.sha256(canvas.tobytes()).hexdigest() != description.get(_PIXELS) and not tolerant:
        raise InputError(
            f"{path} is not a canvas any more: its pixels, now {stored}, were changed after it was written, by "
            "recompression or an edit (--tolerant reads it all the same)"
        )
    files = {key[len(_FILE) :]: _unpacked(text, str(path)) for key, text in chunks.items() if key.startswith(_FILE)}
    place = _place(description, path)
    same_for_all_pages = {key: value for key, value in description.items() if key not in (*_PLACE, _PIXELS)}
    codec = _codec_of(json.dumps(same_for_all_pages), tuple(sorted(files.items())))
    return Page(canvas=canvas, codec=codec, **place)


def _place(description: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Which page of which text it is; nothing where the file does not say."""
    place = {key: description[key] for key in _PLACE if key in description}
    text_id, page, pages = place.get("text_id"), place.get("page", 1), place.get("pages", 1)
    if (
        type(text_id) not in (str, NoneType)
        or type(page) is not int
        or type(pages) is not int
        or not 1 <= page <= pages
    ):
        raise InputError(
            f"{path} says that it is page {page!r} of {pages!r} of the text {text_id!r}: it was damaged, or written by "
            "something else"
        )
    return place


@functools.lru_cache(maxsize=2)
def _codec_of(description: str, files: tuple[tuple[str, bytes], ...]) -> CanvasCodec:
    return CanvasCodec.from_dict(json.loads(description), dict(files), "the codec inside")


def _require_size(path: str | Path, canvas: UInt8[np.ndarray, "height width 3"], side: int) -> None:
    height, width = canvas.shape[:2]
    if (height, width) != (side, side):
        raise InputError(
            f"{path} is not a canvas: it is {width} x {height} pixels, not {side} x {side}; was it resized?"
        )


def _read_rgb(path: Path) -> tuple[UInt8[np.ndarray, "height width 3"], dict[str, str], str]:
    """The colours and text chunks of a PNG of moderate size, and how its pixels are stored.

    Of 16 bits it takes the upper 8, of alpha nothing: the checksum tells whether these are the colours that were
    written. Raises `InputError` for what is no such file.
    """
    from PIL import Image

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path") from None
    if len(data) < 26 or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        raise InputError(f"{path} is {_other_kind(data)}: fetch the PNG file that was written")
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    if max(width, height) > _MAX_SIDE:
        raise InputError(f"{path} is not a canvas: {width} x {height} pixels, where {_MAX_SIDE} a side are the most")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked here
            image = Image.open(io.BytesIO(data), formats=["PNG"])
        with image:
            if image.size != (width, height):  # a second header
                raise InputError(f"{path} is damaged (it has two sizes): fetch it again")
            image.load()
            chunks = {key: str(value) for key, value in image.text.items()}  # type: ignore[attr-defined]
            stored = f"{depth}-bit {_COLOUR_TYPES.get(colour, 'unknown')}"
            return _colours(image), chunks, stored
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is damaged ({error}): fetch it again") from None


def _other_kind(data: bytes) -> str:
    """What a file is that is no PNG. Messengers and web sites make JPEG, WebP and AVIF of what they are given."""
    if data.startswith(b"\xff\xd8\xff"):
        return "a JPEG file, which is lossy and keeps neither the colours nor the codec of a canvas"
    if data[8:12] == b"WEBP" or data[4:8] == b"ftyp":
        name = "WebP" if data[8:12] == b"WEBP" else "AVIF or HEIC"
        return f"a file of {name}, which is mostly lossy and does not keep the codec of a canvas"
    return "no PNG file, as a canvas is"


def _colours(image: Any) -> UInt8[np.ndarray, "height width 3"]:
    if image.mode.startswith("I"):  # 16-bit grey
        return np.repeat((np.array(image) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
    image.info.pop("transparency", None)  # of a palette; Pillow warns of what it would mix with it
    return np.array(image.convert("RGB"))


_NAMED = 5  # page numbers in an error


def pages_by_text(pages: Sequence[Page], tolerant: bool = False) -> list[list[Page]]:
    """The pages of each text in their order; the texts in the order in which their first page was given.

    Pages that do not say which text they belong to are one text where they follow each other and have one
    codec. Raises `InputError` naming the pages of a text that are missing or given more than once; with
    `tolerant`, the text is made of the pages that are there, and the first of several equal pages counts. A page
    given all alone is read by itself.
    """
    texts: dict[tuple, list[Page]] = {}
    for number, (key, run) in enumerate(itertools.groupby(pages, key=lambda page: (page.text_id, page.codec))):
        text_id, _ = key
        texts.setdefault(key if text_id else (number, key), []).extend(run)
    return [_in_order(text, tolerant or len(pages) == 1) if text[0].text_id else text for text in texts.values()]


def _in_order(text: list[Page], tolerant: bool) -> list[Page]:
    given = Counter(page.page for page in text)
    total = max(page.pages for page in text)
    missing = (number for number in range(1, total + 1) if number not in given)
    repeated = (number for number in sorted(given) if given[number] > 1)
    wrong = [
        *_named(missing, total - len(given), "missing"),
        *_named(repeated, sum(count > 1 for count in given.values()), "given twice"),
    ]
    if wrong and not tolerant:
        raise InputError(
            f"of a text of {total:,} pages, {' and '.join(wrong)}: give each page once (--tolerant reads what there is)"
        )
    first_of_each = {page.page: page for page in reversed(text)}
    return [first_of_each[number] for number in sorted(first_of_each)]


def _named(numbers: Iterator[int], count: int, what: str) -> list[str]:
    """The first few of them in words; nothing where there are none."""
    if not count:
        return []
    shown = ", ".join(str(number) for number in itertools.islice(numbers, _NAMED))
    more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
    return [f"page {shown} is {what}" if count == 1 else f"pages {shown}{more} are {what}"]

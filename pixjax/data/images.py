"""Decode one image file's bytes to RGB pixels: any orientation, mode or number of frames, or a cause why not."""

import contextlib
import functools
import io
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from pixjax.data.picture_kinds import is_heic

# What can be wrong with an image, in the order in which a batch's `skipped` field counts them.
CAUSES = ("missing", "unreadable", "truncated", "corrupt", "too_large")

MAX_PIXELS = 2**26  # 8192 x 8192; more is taken for a decompression bomb
MAX_ASPECT = 16  # of the resized image; the middle of a longer strip is kept
RESIZE_METHOD = "short side by Pillow bicubic, antialiased, after alpha over white"

Pixels = UInt8[np.ndarray, "height width 3"]

# In the order in which they are tried. Pillow knows more, and hands some of them to other programs: EPS to Ghostscript.
_FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "AVIF",
    "JPEG2000",
    "PPM",
    "TGA",
    "ICO",
    "ICNS",
    "DIB",
    "PCX",
    "SGI",
    "HEIF",  # with pillow-heif
)

# This module keeps its own, lower limit; and what is odd about metadata does not matter to the pixels.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HEIC_REMEDY = "HEIC needs pillow-heif: pip install 'pixjax[heif]'"
_AVIF_REMEDY = "AVIF needs Pillow 11.3 or newer: pip install -U pillow"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """An image that cannot be used. `cause` is one of `CAUSES`."""

    def __init__(self, cause: str, detail: str):
        super().__init__(detail)
        self.cause = cause
        self.detail = detail

    def __reduce__(self):  # crosses process borders
        return type(self), (self.cause, self.detail)


def decode_image(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The first frame of an image file, upright, in RGB, its short side resized to `size` pixels.

    Transparency is composed over white, 16-bit and float values are scaled to 8 bits. Raises `BadImage`.
    """
    plain = decode_plain_jpeg(data, below=4 * size)
    if plain is not None and plain.width * plain.height <= max_pixels:
        return np.asarray(_resize(_to_rgb(plain), size))
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage("too_large", f"{width}x{height} pixels, more than {max_pixels}")
    if width * height == 0:
        raise BadImage("corrupt", f"{width}x{height} pixels")
    try:
        image.draft(None, (2 * size, 2 * size))  # large JPEGs decode at a fraction
        image.load()
        rgb = _resize(_to_rgb(image), size)
    except Image.DecompressionBombError as error:
        raise BadImage("too_large", str(error)) from None
    except Exception as error:  # a decoder may raise anything on hostile bytes
        raise BadImage(_cause(error, "corrupt"), _one_line(error)) from None
    if (transpose := _UPRIGHT.get(_orientation(image))) is not None:
        rgb = rgb.transpose(transpose)
    return np.asarray(rgb)


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) of an image file as `decode_image` sees it, upright. Raises `BadImage`."""
    image = _open(data)
    turned = _orientation(image) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else image.size


def crop_into(out: UInt8[np.ndarray, "side side 3"], pixels: Pixels, across: float, flip: bool) -> None:
    """Fills the square `out` with what lies at `across` (0 to 1) of the way along the long side, mirrored if
    `flip`.
    """
    size = len(out)
    height, width = pixels.shape[:2]
    top = int(across * (height - size + 1)) if height > size else 0
    left = int(across * (width - size + 1)) if width > size else 0
    square = pixels[top : top + size, left : left + size]
    if not flip:
        out[...] = square
        return
    for channel in range(3):  # four times as fast as mirroring pixels of three bytes
        out[..., channel] = square[:, ::-1, channel]


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise BadImage("too_large", str(error)) from None
    except Image.UnidentifiedImageError:
        raise BadImage("unreadable", _unreadable(data)) from None
    except Exception as error:
        raise BadImage(_cause(error, "unreadable"), _one_line(error)) from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """The members of `_FORMATS` that this Pillow was built with, or that a plugin adds."""
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def missing_decoder(name: str) -> str:
    """The package that a picture needs to be decoded, by its name; empty where none is missing, or none is known."""
    if is_heic(name) and "HEIF" not in _formats():
        return _HEIC_REMEDY
    return _AVIF_REMEDY if name.lower().endswith(".avif") and "AVIF" not in _formats() else ""


def _unreadable(data: bytes) -> str:
    """Why nothing here decodes these bytes."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""  # of an ISO base media file
    for brands, name, remedy in ((_HEIC_BRANDS, "HEIF", _HEIC_REMEDY), ((b"avif", b"avis"), "AVIF", _AVIF_REMEDY)):
        if brand in brands:
            return remedy if name not in _formats() else "a damaged or unusual HEIC or AVIF"
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS stands for the picture: run git lfs pull"
    return f"none of {', '.join(_formats())}"


def _cause(error: Exception, otherwise: str) -> str:
    """Pillow tells these apart by their messages alone."""
    message = str(error).lower()
    return "truncated" if "truncated" in message else "too_large" if "too large" in message else otherwise


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a malformed EXIF block says nothing about the pixels
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(values: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    """Grey values over the smallest usual full scale that holds them; integers have 16 bits or more."""
    scales = (1, 255, 65535, 2**31 - 1) if values.dtype.kind == "f" else (65535, 2**31 - 1)
    values = np.nan_to_num(values.astype(np.float64))
    scale = next((s for s in scales if values.max() <= s), float(values.max()))
    return np.clip(np.rint(values * (255 / scale)), 0, 255).astype(np.uint8)


def _resize(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    if min(width, height) == size and max(width, height) <= MAX_ASPECT * size:
        return image
    short = min(width, height)
    keep = min(max(width, height), MAX_ASPECT * short)
    box_width, box_height = (keep, short) if width >= height else (short, keep)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    target = (max(size, round(box_width * size / short)), max(size, round(box_height * size / short)))
    return image.resize(target, Image.Resampling.BICUBIC, box=(left, top, left + box_width, top + box_height))


_START_OF_SCAN = 0xDA
_START_OF_FRAME = (0xC0, 0xC1, 0xC2)  # Huffman-coded: baseline, extended, progressive
_HARMLESS = (0xDB, 0xC4, 0xDD, 0xE0, 0xFE)  # tables, restart interval, JFIF, comment: none is about what is seen
_MODES = {1: "L", 3: "RGB"}


def decode_plain_jpeg(data: bytes, *, below: int) -> Image.Image | None:
    """The picture, exactly as `Image.open` would read it, or None: read it by `Image.open`.

    None for all that is not plain: other formats, EXIF, colour profiles, CMYK, both sides of `below` pixels
    or more (there Pillow can decode at a fraction), and whatever is damaged.

    Pillow reads a JPEG's segments in Python and its pixels in blocks, as from a disk; for a picture of 64 pixels that
    takes a third of the time. Its decoder can be given the bytes as they are, if someone else reads the few numbers
    that it needs.
    """
    frame = _read_frame(data)
    if frame is None:
        return None
    mode, width, height = frame
    if min(width, height) >= below or not 0 < width * height <= 64 * below**2:
        return None
    try:
        return Image.frombytes(mode, (width, height), data, "jpeg", mode, "")
    except Exception:  # Pillow's own reading of the file says what is wrong
        return None


def _read_frame(data: bytes) -> tuple[str, int, int] | None:
    """Mode, width and height from the frame header (ITU-T T.81, B.2.2), if only harmless segments are around
    it.
    """
    if data[:2] != b"\xff\xd8":
        return None
    place, frame = 2, None
    while len(data) >= place + 10 and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            return frame
        if marker in _START_OF_FRAME:
            precision, mode = data[place + 4], _MODES.get(data[place + 9])
            if frame is not None or precision != 8 or mode is None:
                return None
            frame = (
                mode,
                int.from_bytes(data[place + 7 : place + 9], "big"),
                int.from_bytes(data[place + 5 : place + 7], "big"),
            )
        elif marker not in _HARMLESS:
            return None
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None

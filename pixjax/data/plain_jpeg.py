"""Small JPEGs with nothing but pixels in them, the most common file there is, decoded without the detour by a
file.

Pillow reads a JPEG's segments in Python and its pixels in blocks, as from a disk; for a picture of 64 pixels
that takes a third of the time. Its decoder can be given the bytes as they are, if someone else reads the few
numbers it needs.
"""

from PIL import Image

_START_OF_SCAN = 0xDA
_START_OF_FRAME = (0xC0, 0xC1, 0xC2)  # Huffman-coded: baseline, extended, progressive
_HARMLESS = (0xDB, 0xC4, 0xDD, 0xE0, 0xFE)  # tables, restart interval, JFIF, comment: none is about what is seen
_MODES = {1: "L", 3: "RGB"}


def decode_plain_jpeg(data: bytes, *, below: int) -> Image.Image | None:
    """The picture, exactly as `Image.open` would read it, or None: read it by `Image.open`.

    None for all that is not plain: other formats, EXIF, colour profiles, CMYK, both sides of `below` pixels
    or more (there Pillow can decode at a fraction), and whatever is damaged.
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

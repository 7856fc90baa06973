"""The content of a text file as UTF-8: decompressed, and decoded where a byte order mark says UTF-16 or UTF-32."""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, runtime_checkable

from pixjax.errors import InputError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")

# UTF-32 first: its mark begins with that of UTF-16.
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 2**16
_ZSTD_BLOCK = 2**12  # compressed: up to 2**15 times as much comes of it at once
_LONGEST_WINDOW = 2**31  # of `zstd --long=31`

# An encrypted member of a zip is a RuntimeError, one of an unknown method a NotImplementedError, which is one too.
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, UnicodeDecodeError, RuntimeError)


@runtime_checkable
class TextPath(Protocol):
    """A file, or a member of a zip."""

    @property
    def name(self) -> str: ...

    def open(self, mode: Any) -> Any: ...


def plain_name(name: str) -> str:
    """The name in lower case, without the ending of a compression."""
    name = name.lower()
    return name.removesuffix(next(filter(name.endswith, COMPRESSIONS), ""))


@contextlib.contextmanager
def opened(path: TextPath, start: int = 0) -> Iterator[tuple[BinaryIO, int]]:
    """The content from byte `start` on, and the byte at which it stands: that after a byte order mark where it begins
    with one.

    Bytes are those of what is inside of a compressed file, and of its UTF-8 where it is UTF-16 or UTF-32. Raises
    `InputError` for what cannot be read, is damaged or ends too early.
    """
    try:
        with path.open("rb") as raw:
            file = _as_utf8(_decompressed(raw, path.name.lower()))
            if start:
                _skip(file, start)
            elif file.peek(3)[:3] == codecs.BOM_UTF8:
                start = len(file.read(3))
            yield file, start
    except _DAMAGED as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def _decompressed(raw: BinaryIO, name: str) -> Any:
    if name.endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BLOCK)
    if name.endswith(".bz2"):
        return io.BufferedReader(bz2.BZ2File(raw), _BLOCK)
    if name.endswith(".xz"):
        return io.BufferedReader(lzma.LZMAFile(raw), _BLOCK)
    if name.endswith(".zst"):
        return _streamed(_zstd_chunks(raw))
    return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw, _BLOCK)


def _as_utf8(file: io.BufferedReader) -> io.BufferedReader:
    first = file.peek(4)[:4]
    encoding = next((encoding for mark, encoding in _WIDE_MARKS if first.startswith(mark)), None)
    return file if encoding is None else _streamed(_recoded(file, encoding))


def _recoded(file: io.BufferedReader, encoding: str) -> Iterator[bytes]:
    letters = io.TextIOWrapper(file, encoding, newline="")
    while chunk := letters.read(_BLOCK):
        yield chunk.encode("utf-8")


def _zstd_chunks(raw: BinaryIO) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        yield from _zstd_chunks_of_arrow(raw)
        return
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW)
    frame = None
    try:
        while block := raw.read(_ZSTD_BLOCK):
            while block:
                frame = decompressor.decompressobj() if frame is None or frame.eof else frame
                yield frame.decompress(block)
                block = frame.unused_data
    except zstandard.ZstdError as error:
        raise OSError(str(error)) from None
    if frame is not None and not frame.eof:
        raise EOFError("it ends before its last frame does")


def _zstd_chunks_of_arrow(raw: BinaryIO) -> Iterator[bytes]:
    """What is there without the extra reads all but windows above 2**27 bytes."""
    try:
        import pyarrow
    except ImportError:
        raise InputError("a .zst file needs the package zstandard: pip install 'pixjax[zstd]'") from None
    with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), "zstd") as stream:
        try:
            while chunk := stream.read(_BLOCK):
                yield chunk
        except OSError as error:
            if "memory" not in str(error):
                raise
            raise OSError("its window is long (zstd --long): pip install 'pixjax[zstd]'") from None


class _Chunks(io.RawIOBase):
    """A raw stream of byte strings. A read gives fewer bytes than asked for only at its end."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        filled = 0
        while filled < len(buffer):
            if not self._rest:
                if (chunk := next(self._chunks, None)) is None:
                    break
                self._rest = memoryview(chunk)
                continue
            count = min(len(buffer) - filled, len(self._rest))
            buffer[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled


def _streamed(chunks: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Chunks(chunks), _BLOCK)


def _skip(file: BinaryIO, count: int) -> None:
    if file.seekable():
        file.seek(count)
        return
    while count and (block := file.read(min(count, _BLOCK))):
        count -= len(block)

"""Random access to the bytes of many small files: a folder, or a zip archive read in place."""

import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from typing import Protocol

from etils import epath

from pixjax.data.fingerprint import SAMPLED_BYTES, digest, sampled
from pixjax.data.paths import reach
from pixjax.errors import InputError
from pixjax.paths import is_remote

# Beside pictures lie notes, lists of labels and what file systems leave behind; anything else counts as a
# picture.
_NOT_PICTURES = (
    ".txt",
    ".json",
    ".jsonl",
    ".csv",
    ".tsv",
    ".md",
    ".html",
    ".xml",
    ".yaml",
    ".npy",
    ".npz",
    ".zip",
)

_LOCAL_HEADER_BYTES = 30
_MAX_MEMBER = 2**29  # bytes unpacked: more than the pixels of any picture that is used


class Files(Protocol):
    """Named byte strings in a fixed order. Picklable, and safe to read from several threads."""

    names: tuple[str, ...]

    def read(self, index: int) -> bytes:
        """Raises OSError, or zipfile.BadZipFile for a damaged archive member."""
        ...

    def fingerprint(self) -> str:
        """Equal for equal files below another folder, or in another archive."""
        ...


def open_files(place: str, what: str, wanted: Callable[[str], bool] | None = None) -> Files:
    """The files below a folder or in a zip, sorted by name; `wanted` chooses, by default all that may be
    pictures.

    `what` names them in errors.
    """
    wanted = wanted or is_picture
    path = reach(place)
    if not path.exists():
        raise InputError(f"{what} {place!r} does not exist: give a folder or a .zip")
    if path.is_dir():
        files: Files = FolderFiles(path, wanted)
    else:
        try:
            files = ZipFiles(path, wanted)
        except zipfile.BadZipFile:
            raise InputError(f"{what} {place!r} is neither a folder nor a whole zip archive") from None
    if not files.names:
        raise InputError(f"{what} {place!r} is empty: it holds no image file")
    return files


def is_picture(name: str) -> bool:
    parts = name.split("/")
    return not (
        name.endswith("/")
        or name.lower().endswith(_NOT_PICTURES)
        or any(part.startswith((".", "__MACOSX")) for part in parts)
    )


class FolderFiles:
    """Every file below a folder; names are relative, with forward slashes."""

    def __init__(self, root: epath.Path, wanted: Callable[[str], bool]):
        self._root = root
        self.names = tuple(sorted(filter(wanted, _walk(root))))

    def read(self, index: int) -> bytes:
        return (self._root / self.names[index]).read_bytes()

    def fingerprint(self) -> str:
        """Of all names, and of some files."""
        return digest([*self.names, *(part for index in sampled(len(self.names)) for part in self._beginning(index))])

    def _beginning(self, index: int) -> tuple[int, bytes]:
        path = self._root / self.names[index]
        try:
            with path.open("rb") as file:
                return path.stat().length, file.read(SAMPLED_BYTES)
        except OSError:  # gone or not readable: a bad picture, which is counted when it is drawn
            return -1, b""


def _walk(folder: epath.Path, prefix: str = ""):
    for child in folder.iterdir():
        name = prefix + child.name
        if child.is_dir():
            yield from _walk(child, name + "/")
        else:
            yield name


class ZipFiles:
    """Members of a zip, each found by its offset, so that threads and processes share no file position."""

    def __init__(self, path: epath.Path, wanted: Callable[[str], bool]):
        self._path = path
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = sorted(
                (m for m in archive.infolist() if wanted(m.filename) and not m.is_dir()), key=lambda m: m.filename
            )
        self.names = tuple(m.filename for m in members)
        self._members = [(m.header_offset, m.compress_size, m.compress_type, m.CRC) for m in members]
        self._file = _SharedFile(path)

    def read(self, index: int) -> bytes:
        offset, size, method, checksum = self._members[index]
        # The local header repeats the name and has extra fields of its own length: 1 KiB nearly always holds
        # them.
        slack = _LOCAL_HEADER_BYTES + len(self.names[index].encode()) + 64
        block = self._file.read(offset, slack + size)
        if block[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"{self._path}: no member at byte {offset}")
        start = _LOCAL_HEADER_BYTES + sum(struct.unpack_from("<HH", block, 26))
        if start + size > len(block):
            block += self._file.read(offset + len(block), start + size - len(block))
        data = block[start : start + size]
        if method == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _MAX_MEMBER + 1)
            if len(data) > _MAX_MEMBER:
                raise zipfile.BadZipFile(f"{self.names[index]}: larger than {_MAX_MEMBER >> 20} MiB when unpacked")
        elif method != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(f"compression method {method} is not supported: store or deflate the members")
        if zlib.crc32(data) != checksum:
            raise zipfile.BadZipFile(f"{self.names[index]}: checksum differs")
        return data

    def fingerprint(self) -> str:
        """Of all names and checksums."""
        checksums = (checksum for _, _, _, checksum in self._members)
        return digest(part for member in zip(self.names, checksums, strict=True) for part in member)


class _SharedFile:
    """Reads at an offset, from any thread. Opened anew in a process that it is sent to."""

    def __init__(self, path: epath.Path):
        self._path = path
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("rb")
        self._lock = threading.Lock()
        self._descriptor = None if is_remote(self._path) else self._file.fileno()

    def __getstate__(self):
        return self._path

    def __setstate__(self, path):
        self._path = path
        self._open()

    def read(self, offset: int, size: int) -> bytes:
        if self._descriptor is not None:
            return os.pread(self._descriptor, size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

"""Zip and tar archives read in place: each member is found by its offset, so that threads and processes share no file
position.
"""

import functools
import os
import posixpath
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from etils import epath

from pixjax.errors import InputError
from pixjax.paths import file_stamp, is_remote

_LOCAL_HEADER_BYTES = 30
_MAX_MEMBER = 2**29  # bytes unpacked: more than the pixels of any picture that is used

_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}


def archive_kind(path: epath.Path) -> str:
    """By its content: zip, tar, what else compresses whole archives, or nothing."""
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return "zip"
        file.seek(0)
        head = file.read(tarfile.BLOCKSIZE)
    for magic, kind in _COMPRESSED.items():
        if head.startswith(magic):
            return kind
    return "tar" if head[257:262] == b"ustar" or path.suffix.lower() == ".tar" else ""


def _clean(name: str) -> str:
    """Without `./`, double slashes and a leading one."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


class _ZipMember(NamedTuple):
    offset: int
    size: int  # as it is stored
    method: int
    checksum: int
    is_encrypted: bool


class ZipFiles:
    """Members of a zip, sorted by name. Of several with one name the last counts, as when they are unpacked."""

    def __init__(self, path: epath.Path):
        """Raises `InputError` for what is no whole zip, or is encrypted."""
        self._path = path
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                found = {_zip_name(m): m for m in archive.infolist() if not _zip_name(m, raw=True).endswith("/")}
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise InputError(f"{path} is no whole zip archive ({error}): copy or download it again") from None
        except UnicodeDecodeError:
            raise InputError(
                f"{path} has names that are not what their encoding says: unpack it, and pack it again"
            ) from None
        self.names = tuple(sorted(found))
        self._members = tuple(
            _ZipMember(m.header_offset, m.compress_size, m.compress_type, m.CRC, bool(m.flag_bits & _ENCRYPTED_FLAG))
            for m in (found[name] for name in self.names)
        )
        if self._members and all(member.is_encrypted for member in self._members):
            raise InputError(f"{path} is encrypted: unpack it with its password, and give the folder")
        self._file = _SharedFile(path)

    def only(self, indices: Sequence[int]) -> "ZipFiles":
        chosen = object.__new__(ZipFiles)
        chosen._path, chosen._file = self._path, self._file
        chosen.names = tuple(self.names[index] for index in indices)
        chosen._members = tuple(self._members[index] for index in indices)
        return chosen

    def stamp(self, index: int) -> str:
        member = self._members[index]
        return f"{member.size} {member.checksum:08x}"

    def read(self, index: int) -> bytes:
        member, name = self._members[index], self.names[index]
        if member.is_encrypted:
            raise zipfile.BadZipFile(f"{name}: encrypted")
        # The local header repeats the name and has extra fields of its own length: this nearly always holds them.
        slack = _LOCAL_HEADER_BYTES + len(name.encode("utf-8", "replace")) + 64
        block = self._file.read(member.offset, slack + member.size)
        if block[:4] != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"{self._path}: no member at byte {member.offset}")
        start = _LOCAL_HEADER_BYTES + sum(struct.unpack_from("<HH", block, 26))
        if start + member.size > len(block):
            block += self._file.read(member.offset + len(block), start + member.size - len(block))
        data = block[start : start + member.size]
        if member.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _MAX_MEMBER + 1)
            except zlib.error as error:
                raise zipfile.BadZipFile(f"{name}: {error}") from None
            if len(data) > _MAX_MEMBER:
                raise zipfile.BadZipFile(f"{name}: larger than {_MAX_MEMBER >> 20} MiB when unpacked")
        elif member.method != zipfile.ZIP_STORED:
            raise zipfile.BadZipFile(
                f"compression method {member.method} is not supported: store or deflate the members"
            )
        if zlib.crc32(data) != member.checksum:
            raise zipfile.BadZipFile(f"{name}: checksum differs")
        return data


def _zip_name(member: zipfile.ZipInfo, *, raw: bool = False) -> str:
    """With forward slashes, and in UTF-8 where that is what an archive holds without saying so, as of macOS."""
    name = member.filename
    if not member.flag_bits & _UTF8_FLAG:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = member.filename
    name = name.replace("\\", "/")
    return name if raw else _clean(name)


class _TarMember(NamedTuple):
    offset: int
    size: int
    modified: int


class TarFiles:
    """Members of a tar that is not compressed, sorted by name. Its headers are read once.

    Of several members with one name the last counts, as when they are unpacked. A link within the archive is what it
    leads to; one that leads out of it is left out.
    """

    def __init__(self, path: epath.Path):
        """Raises `InputError` for an archive that is cut off or damaged."""
        self._path = path
        try:
            found = _index_tar(path)
        except (tarfile.TarError, OSError, ValueError) as error:
            raise InputError(f"{path} is no whole tar archive ({error}): copy or download it again") from None
        self.names = tuple(sorted(found))
        self._members = tuple(found[name] for name in self.names)
        self._file = _SharedFile(path)

    def only(self, indices: Sequence[int]) -> "TarFiles":
        chosen = object.__new__(TarFiles)
        chosen._path, chosen._file = self._path, self._file
        chosen.names = tuple(self.names[index] for index in indices)
        chosen._members = tuple(self._members[index] for index in indices)
        return chosen

    def stamp(self, index: int) -> str:
        """There are no checksums in a tar, so it is the archive's times that tell."""
        return f"{' '.join(map(str, self._members[index]))} {file_stamp(self._path)}"

    def read(self, index: int) -> bytes:
        member = self._members[index]
        if member.size > _MAX_MEMBER:
            raise OSError(f"{self.names[index]}: larger than {_MAX_MEMBER >> 20} MiB")
        data = self._file.read(member.offset, member.size)
        if len(data) < member.size:
            raise OSError(f"{self.names[index]}: {self._path} ends before it")
        return data


def _index_tar(path: epath.Path) -> dict[str, _TarMember]:
    found: dict[str, _TarMember] = {}
    links: dict[str, str] = {}
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # a million of them would fill the memory
            name = _clean(member.name)
            if member.isreg() and not member.issparse():
                found[name] = _TarMember(member.offset_data, member.size, int(member.mtime))
                links.pop(name, None)
            elif member.islnk():
                links[name] = _clean(member.linkname)
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        # A damaged header ends the reading like the zeros that end an archive.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"damaged at byte {archive.offset:,}")
    for name, target in links.items():
        if target in found:
            found[name] = found[target]
    return found


class _SharedFile:
    """Reads at an offset, from any thread. Opened when it is first read, in each process."""

    def __init__(self, path: epath.Path):
        self._path = path
        self._is_local = not is_remote(path)
        self._lock = threading.Lock()

    def __reduce__(self):
        return _SharedFile, (self._path,)

    def read(self, offset: int, size: int) -> bytes:
        file = _opened(self)
        if self._is_local:
            return os.pread(file.fileno(), size, offset)
        with self._lock:
            file.seek(offset)
            return file.read(size)


@functools.lru_cache(maxsize=64)
def _opened(shared: _SharedFile) -> BinaryIO:
    """A data set may have more shards than a process may open files. What is dropped here is closed by whoever reads
    it last.
    """
    return shared._path.open("rb")

"""Random access to the bytes of many small files, below a folder or in archives, and which of them are pictures."""

import bisect
import dataclasses
import os
import pathlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

from etils import epath

from pixjax.data.archives import TarFiles, ZipFiles, archive_kind
from pixjax.data.images import missing_decoder
from pixjax.data.picture_kinds import is_hidden, is_in_hidden, is_picture, kind_of, shown
from pixjax.data.uri import expand_glob, is_pattern
from pixjax.errors import InputError
from pixjax.paths import file_stamp, is_remote, reachable_path


@runtime_checkable
class Files(Protocol):
    """Named byte strings in a fixed order. Picklable, and safe to read from several threads."""

    names: tuple[str, ...]

    def read(self, index: int) -> bytes:
        """Raises OSError, or zipfile.BadZipFile for a damaged archive member."""
        ...

    def stamp(self, index: int) -> str:
        """Changes with the bytes of a file, as far as that can be told without reading them."""
        ...

    def only(self, indices: Sequence[int]) -> "Files":
        """A selection of the files, in this order."""
        ...


def open_files(place: str, what: str) -> Files:
    """All files below a folder, in a zip or tar, or in several of these that a glob matches, sorted by name.

    `what` names them in errors. Raises `InputError` where there is nothing of that kind.
    """
    path = reachable_path(place)
    if path.exists():
        return _open_one(path, what)
    if not is_pattern(place):
        raise InputError(f"{what} {place!r} does not exist: give a folder, a .zip or a .tar")
    paths = expand_glob(place, what)
    return _open_one(paths[0], what) if len(paths) == 1 else JoinedFiles([_open_one(p, what) for p in paths], paths)


def _open_one(path: epath.Path, what: str) -> Files:
    if path.is_dir():
        return FolderFiles(path)
    try:
        kind = archive_kind(path)
    except OSError as error:
        raise InputError(f"{what} {str(path)!r} cannot be read ({error.strerror or error}): check the path") from None
    if kind == "zip":
        return ZipFiles(path)
    if kind == "tar":
        return TarFiles(path)
    if kind:
        raise InputError(
            f"{what} {str(path)!r} is compressed as a whole ({kind}), so that no file in it can be reached alone: "
            "unpack it, and give the folder or the .tar"
        )
    raise InputError(
        f"{what} {str(path)!r} is neither a folder nor a whole zip or tar archive: give one of these, or the folder "
        "that the file is in"
    )


class FolderFiles:
    """Every file below a folder; names are relative, with forward slashes. What is hidden is left out.

    Links are followed, but none that leads to a folder that it is in.
    """

    def __init__(self, root: epath.Path, names: Sequence[str] | None = None):
        self._root = root
        walk = _walk_remote(root) if is_remote(root) else _walk(os.fspath(root), above=_folders_around(root))
        self.names = tuple(sorted(walk) if names is None else names)

    def read(self, index: int) -> bytes:
        return (self._root / self.names[index]).read_bytes()

    def stamp(self, index: int) -> str:
        return file_stamp(os.path.join(self._root, self.names[index]))  # of many, so not by epath

    def only(self, indices: Sequence[int]) -> "FolderFiles":
        return FolderFiles(self._root, [self.names[index] for index in indices])


def _folders_around(root: epath.Path) -> frozenset[tuple[int, int]]:
    """Into these no link leads, as all that lies beside the source would come with it."""
    around = (os.stat(folder) for folder in pathlib.Path(os.path.realpath(root)).parents)
    return frozenset((here.st_dev, here.st_ino) for here in around)


def _walk(folder: str, prefix: str = "", above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    try:
        here = os.stat(folder)
        if (identity := (here.st_dev, here.st_ino)) in above:
            return
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.path, _is_kind(entry)) for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise unreadable_folder(folder, error) from None
    for name, path, kind in found:
        if kind == "folder":
            yield from _walk(path, f"{prefix}{name}/", above | {identity})
        elif kind == "file":
            yield prefix + name


def unreadable_folder(folder: str, error: OSError) -> InputError:
    return InputError(f"folder {shown(folder)} cannot be read ({error.strerror}): allow it, or move the folder away")


def _is_kind(entry: os.DirEntry) -> str:
    """A link that leads nowhere is a file, which is missing; pipes and devices are nothing that could be read."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or not os.path.exists(entry.path) else ""
    except OSError:  # a link to itself
        return "file"


def _walk_remote(folder: epath.Path) -> Iterator[str]:
    return (name for name in folder.files_below() if not any(map(is_hidden, name.split("/"))))


class JoinedFiles:
    """The files of several archives or folders, each under the name of its archive."""

    def __init__(self, parts: Sequence[Files], paths: Sequence[epath.Path]):
        self._parts, self._paths = tuple(parts), tuple(paths)
        self.names = tuple(
            f"{path.name}/{name}" for part, path in zip(parts, paths, strict=True) for name in part.names
        )
        self._firsts = [0]
        for part in parts:
            self._firsts.append(self._firsts[-1] + len(part.names))

    def read(self, index: int) -> bytes:
        part = self._locate(index)
        return self._parts[part].read(index - self._firsts[part])

    def stamp(self, index: int) -> str:
        part = self._locate(index)
        return self._parts[part].stamp(index - self._firsts[part])

    def only(self, indices: Sequence[int]) -> "JoinedFiles":
        of_part: list[list[int]] = [[] for _ in self._parts]
        for index in indices:
            part = self._locate(index)
            of_part[part].append(index - self._firsts[part])
        return JoinedFiles([p.only(i) for p, i in zip(self._parts, of_part, strict=True)], self._paths)

    def _locate(self, index: int) -> int:
        return bisect.bisect_right(self._firsts, index) - 1


_SIDE_ENDINGS = frozenset(("cls", "txt", "json"))
_SIDES = tuple(f".{ending}" for ending in _SIDE_ENDINGS)
_KINDS_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class PictureList:
    """indices: of the pictures among the files. left_out: how many others there are of each kind."""

    indices: tuple[int, ...]
    left_out: dict[str, int]
    undecodable: dict[str, int]  # pictures of a format that nothing here decodes, by what would be needed

    @classmethod
    def of(cls, files: Files, uri: str, what: str) -> "PictureList":
        """Raises `InputError` where none is a picture, or none can be decoded by what is installed."""
        second = _second_pictures(files.names)
        indices, left_out, undecodable = [], Counter[str](), Counter[str]()
        for index, name in enumerate(files.names):
            if is_in_hidden(name):
                continue
            if index in second or not is_picture(name):
                left_out[kind_of(name) if index not in second else "further pictures of a sample"] += 1
                continue
            indices.append(index)
            if need := missing_decoder(name):
                undecodable[need] += 1
        found = cls(tuple(indices), dict(left_out.most_common()), dict(undecodable))
        if not indices:
            others = f", and {sum(left_out.values())} other files ({_kinds(found.left_out)})" if left_out else ""
            archives = next((kind for kind in (".tar", ".zip") if kind in left_out), "")
            remedy = f"; add /*{archives} to read its archives" if archives else ""
            raise InputError(f"{what} {uri!r} is empty: it holds no picture{others}{remedy}")
        if sum(undecodable.values()) == len(indices):
            raise InputError(f"{what} {uri!r} has {len(indices)} pictures, and {' and '.join(undecodable)}")
        return found

    def notes(self, besides: Collection[str] = ()) -> list[str]:
        """What a user should know; nothing of files of the kinds `besides`, which are put to use."""
        total = len(self.indices)
        notes = [
            f"{count:,} of {total:,} pictures cannot be decoded and will be skipped: {need}"
            for need, count in self.undecodable.items()
        ]
        if left_out := {kind: count for kind, count in self.left_out.items() if kind not in besides}:
            notes.append(f"{sum(left_out.values()):,} files are no pictures and are left out: {_kinds(left_out)}")
        return notes


def _kinds(left_out: dict[str, int]) -> str:
    kinds = [f"{count:,} {shown(kind)}" for kind, count in left_out.items()]
    return ", ".join(kinds[:_KINDS_SHOWN] + ["…"] * (len(kinds) > _KINDS_SHOWN))


def sample_key(name: str) -> tuple[str, str]:
    """The key and the ending of a file as webdataset has them: the name up to the first dot of its last part, and
    the rest.
    """
    folder, slash, last = name.rpartition("/")
    key, _, ending = last.partition(".")
    return folder + slash + key, ending.lower()


def _second_pictures(names: tuple[str, ...]) -> set[int]:
    """Further pictures of samples, such as 1.seg.png beside 1.jpg and 1.cls: the picture of that sample is 1.jpg."""
    if not any(name.endswith(_SIDES) for name in names):
        return set()
    of_key: dict[str, list[tuple[str, int]]] = defaultdict(list)
    has_side: set[str] = set()
    for index, name in enumerate(names):
        key, ending = sample_key(name)
        if ending in _SIDE_ENDINGS:
            has_side.add(key)
        elif is_picture(name):
            of_key[key].append((ending, index))
    second: set[int] = set()
    for key in has_side:
        pictures = of_key.get(key, [])
        if any("." not in ending for ending, _ in pictures):
            second.update(index for ending, index in pictures if "." in ending)
    return second

"""Which of the files of a source are its pictures, and what is to be said of the others."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection

from pixjax.data.files import Files
from pixjax.data.images import missing_decoder
from pixjax.data.picture_kinds import is_in_hidden, is_picture, kind_of, shown
from pixjax.errors import InputError

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
    """As webdataset has it: the name up to the first dot of its last part, and what comes after."""
    folder, slash, last = name.rpartition("/")
    key, _, ending = last.partition(".")
    return folder + slash + key, ending.lower()


def _second_pictures(names: tuple[str, ...]) -> set[int]:
    """Of a sample that has 1.jpg, 1.cls and 1.seg.png, the last: its picture is the first."""
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

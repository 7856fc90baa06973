"""A data source as a user writes it, `scheme:place?option=value&option=value`, and the files that its place names."""

import dataclasses
import glob
import os
import re

from etils import epath

from pixjax.codec import Modality
from pixjax.data.schemes import SCHEMES
from pixjax.errors import InputError
from pixjax.paths import is_remote, reachable_path, user_path

# Only this form is taken for options: a glob may hold question marks of its own.
_OPTIONS = re.compile(r"\?([a-z_]+=[^&]*(?:&[a-z_]+=[^&]*)*)$", re.DOTALL)
_ADDRESS = re.compile(r"^(?:[a-z_]+:)?(https?://.*)")


@dataclasses.dataclass(frozen=True)
class SourceUri:
    scheme: str
    place: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "SourceUri":
        scheme, colon, place = text.partition(":")
        if address := _ADDRESS.search(text):
            raise InputError(
                f"{text} is an address on the web: download it first, curl -LO '{address[1]}', and name the file"
            )
        if not colon or scheme not in SCHEMES or not place:
            raise InputError(
                f"data source {text!r} is not one of: {'; '.join(known.form for known in SCHEMES.values())}"
            )
        options: tuple[tuple[str, str], ...] = ()
        if (match := _OPTIONS.search(place)) and not _is_there(scheme, place):
            place = place[: match.start()]
            options = tuple((k, v) for k, _, v in (pair.partition("=") for pair in match[1].split("&")))
        return cls(scheme, place, options)

    def option(self, name: str, default: str = "") -> str:
        return dict(self.options).get(name, default)

    @property
    def answer(self) -> Modality | None:
        """Which side of a source of prompts and answers, or of pictures with captions, is answered, by the option
        `answer`; None without it. Raises `InputError` for another value.
        """
        name = self.option("answer")
        known = {str(modality): modality for modality in Modality}
        if name and name not in known:
            raise InputError(f"{self}: answer={name} is unknown: choose one of {', '.join(known)}")
        return known.get(name)

    def require_options(self, *known: str) -> None:
        for name, _ in self.options:
            if name not in known:
                allowed = f"knows only {', '.join(known)}" if known else "takes none"
                raise InputError(f"option {name!r} of {self} is unknown: {self.scheme} {allowed}")

    def __str__(self) -> str:
        tail = "&".join(f"{k}={v}" for k, v in self.options)
        return f"{self.scheme}:{self.place}" + (f"?{tail}" if tail else "")


def _is_there(scheme: str, place: str) -> bool:
    """Whether a file or folder has this very name, its question mark included."""
    return SCHEMES[scheme].is_path and not is_remote(place) and os.path.lexists(user_path(place))


def expand_glob(pattern: str, what: str) -> list[epath.Path]:
    """The files that match, sorted; `what` names the pattern in errors.

    What is there is itself before it is a pattern: the first folders that exist by the very names that are written,
    such as `[2024] texts`, are those, and only what follows them is matched.
    """
    found = _remote_files(pattern) if is_remote(pattern) else _local_files(pattern)
    if not found:
        raise InputError(f"{what} {pattern!r} matches no file: check the path, and quote a pattern with * in a shell")
    return sorted(found, key=str)


def _remote_files(pattern: str) -> list[epath.Path]:
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    folder = reachable_path("/".join(parts[:fixed]))
    if fixed == len(parts):
        return [folder] if folder.exists() else []
    return list(folder.glob("/".join(parts[fixed:])))


def _local_files(pattern: str) -> list[epath.Path]:
    folder, rest = _what_is_there(pattern)
    if not rest:
        return [folder] if folder.is_file() else []
    return [path for name in glob.glob(rest, root_dir=folder, recursive=True) if (path := folder / name).is_file()]


def is_pattern(place: str) -> bool:
    """Whether files are looked for: a folder that exists is itself, whatever characters its name has."""
    return glob.has_magic(place if is_remote(place) else _what_is_there(place)[1])


def _what_is_there(place: str) -> tuple[epath.Path, str]:
    """The longest part of a local path that exists, and what follows it."""
    whole = user_path(place)
    there = next(path for path in (whole, *whole.parents) if path.exists())
    return there, os.path.join("", *whole.parts[len(there.parts) :])

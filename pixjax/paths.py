"""Paths that a user gives, each read as the name of one file or folder, never as a pattern; and the cache's."""

import glob
import os
import pathlib
import re
from collections.abc import Iterator

from etils import epath
from etils.epath.gpath import PosixGPath

from pixjax.errors import InputError
from pixjax.stores import StorePath, require_reachable

_REMOTE = ("gs", "s3", "az", "hf")  # the stores that etils.epath reaches
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_LAST_PARENT = re.compile(r"(.*/\.\.)(?:/+|$)(.*)", re.DOTALL)


class LocalPath(PosixGPath):
    """An absolute path of this machine whose own characters are no pattern, whatever is looked for below it.

    `epath` itself joins both into one pattern, so that nothing is ever found below a folder such as `runs [2024]`;
    orbax looks for the parts of a checkpoint in this way.
    """

    def iterdir(self) -> Iterator["LocalPath"]:
        """All that is there: `epath` leaves out names that end in `~`, as editors give their copies."""
        return (self / name for name in os.listdir(self))

    def glob(self, pattern: str) -> Iterator["LocalPath"]:
        return (self / name for name in sorted(glob.glob(pattern, root_dir=self)))


def user_path(given: str | os.PathLike, what: str = "the path") -> epath.Path:
    """The file or folder that a user names, which may not exist.

    A local path becomes absolute; links in it are not followed. `~` and `~user` are homes, since shells leave them
    alone in `--workdir=~/run`. An address such as `gs://bucket/run` stays as it is.

    Args:
      what: names the path in errors, for instance `--workdir`.

    Raises:
      InputError: an empty name, the home of a user who is not known, or an address of another kind.
    """
    if isinstance(given, LocalPath | StorePath):
        return given
    text = os.fspath(given)
    if not text:
        raise InputError(f"{what} is empty: name a file or folder")
    if "\0" in text:
        raise InputError(f"{what}={text!r} has a zero byte, which no path can have: leave it out")
    if match := _SCHEME.match(text):
        if match[1] not in _REMOTE:
            known = ", ".join(f"{name}://" for name in _REMOTE)
            raise InputError(f"{what}={text} cannot be reached: give a local path, or one of {known}")
        return StorePath(text)
    path = LocalPath(_absolute(_with_home(text, what)))
    if path.parts[1:2] and path.parts[1] in _REMOTE:
        raise InputError(
            f"{what}={text} lies below /{path.parts[1]}, which cannot be told from {path.parts[1]}://: reach it by a "
            "symbolic link with another name"
        )
    return path


def reachable_path(given: str | os.PathLike, what: str = "the path") -> epath.Path:
    """The path as `user_path` has it, of a store that is sure to answer.

    Raises its `InputError`, and one for a bucket that is not there, lets nobody in, or gives no answer for a minute.
    """
    path = user_path(given, what)
    if is_remote(path):
        require_reachable(path, what)
    return path


def local_path(given: str | os.PathLike, what: str = "the path") -> pathlib.Path:
    """The path as `user_path` has it, on the local disk. Raises its `InputError`, and one for an address elsewhere."""
    path = user_path(given, what)
    if is_remote(path):
        raise InputError(f"{what}={path} is not on this machine: give a local path, and copy from or to there")
    return pathlib.Path(path)


def is_remote(path: str | os.PathLike) -> bool:
    return _SCHEME.match(os.fspath(path)) is not None


def write_whole(path: epath.Path, data: bytes) -> None:
    """Whoever reads the file, and whatever fails, sees the old content or the new one."""
    if is_remote(path):
        path.write_bytes(data)
        return
    draft = path.parent / f".{path.name}.tmp"
    draft.write_bytes(data)
    draft.replace(path)


def same_place(first: str | os.PathLike, second: str | os.PathLike) -> bool:
    """Whether two names are of one path, as `runs/a` and `~/runs/a` may be. Links are not followed."""
    return str(user_path(first)) == str(user_path(second))


def file_stamp(path: str | os.PathLike) -> str:
    """Changes with the bytes of a file, as far as that can be told without reading them; "missing" where it is none.

    The time of its last change counts beside that of its bytes, which `cp -p`, `rsync -t` and `tar` set back to that of
    another file.
    """
    try:
        if is_remote(path):
            found = StorePath(path).stat()
            return f"{found.length} {found.mtime}"
        stat = os.stat(path)
    except OSError:
        return "missing"
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _absolute(path: str) -> str:
    """Folders before a `..` are followed, since a link among them leads to another parent than its name says."""
    path = os.path.join(os.getcwd(), path)
    if match := _LAST_PARENT.fullmatch(path):
        path = os.path.join(os.path.realpath(match[1]), match[2])
    return path


def _with_home(text: str, what: str) -> str:
    user = text.split("/")[0]
    if not user.startswith("~") or (user != "~" and os.path.lexists(user)):
        return text  # a folder may be called ~old
    expanded = os.path.expanduser(text)
    if not expanded.startswith("~"):
        return expanded
    whose = "your home is not known here, set HOME" if user == "~" else f"there is no user {user[1:]!r} here"
    raise InputError(f"{what}={text}: {whose}; for a folder that is called {user}, write ./{text}")


def cache_folder() -> pathlib.Path | None:
    """`pixjax` in `$XDG_CACHE_HOME`, or in `~/.cache`; None for a user who has no home, as in some containers."""
    if place := os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(place) / "pixjax"
    try:
        return pathlib.Path.home() / ".cache" / "pixjax"
    except RuntimeError:  # neither HOME nor an entry in the password database
        return None


def why_not_writable(folder: pathlib.Path) -> str:
    """Makes the folder; why nothing can be written into it, empty where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "permission denied, or mounted read-only"

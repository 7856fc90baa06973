"""Files and patterns of sources, on the local disk or wherever `etils.epath` reaches (gs://, s3://)."""

import glob
import os

from etils import epath

from pixjax.errors import InputError
from pixjax.paths import is_remote, reachable_path, user_path

__all__ = ["expand_glob", "is_remote", "reach"]


def reach(place: str) -> epath.Path:
    """The path of a file or folder, which may not exist. Raises `InputError` where its kind of storage is out
    of reach.
    """
    return reachable_path(place)


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
    folder = reach("/".join(parts[:fixed]))
    if fixed == len(parts):
        return [folder] if folder.exists() else []
    return list(folder.glob("/".join(parts[fixed:])))


def _local_files(pattern: str) -> list[epath.Path]:
    whole = user_path(pattern)
    folder = next(path for path in (whole, *whole.parents) if path.exists())
    if folder == whole:
        return [whole] if whole.is_file() else []
    rest = os.path.join(*whole.parts[len(folder.parts) :])
    return [path for name in glob.glob(rest, root_dir=folder, recursive=True) if (path := folder / name).is_file()]

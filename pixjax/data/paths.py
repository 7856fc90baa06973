"""Paths and globs, on the local disk or wherever `etils.epath` reaches (gs://, s3://)."""

import glob
import os

from etils import epath

from pixjax.errors import InputError


def is_remote(path) -> bool:
    return "://" in str(path)


def reach(place: str) -> epath.Path:
    """The path of a file or folder, which may not exist. Raises `InputError` where its kind of storage is out
    of reach.
    """
    path = epath.Path(place).expanduser()
    if is_remote(place):
        try:
            path.exists()
        except ImportError as error:
            raise InputError(f"{place!r} cannot be reached: {error}") from None
        except Exception as error:  # each storage has errors of its own
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(
                f"{place!r} cannot be reached ({reason}): check the address and your credentials"
            ) from None
    return path


def expand_glob(pattern: str, what: str) -> list[epath.Path]:
    """The files that match, sorted; a plain path matches itself. `what` names the pattern in errors."""
    if is_remote(pattern):
        parts = pattern.split("/")
        fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        folder = reach("/".join(parts[:fixed]))
        matches = (
            list(folder.glob("/".join(parts[fixed:]))) if fixed < len(parts) else [folder] if folder.exists() else []
        )
    else:
        expanded = os.path.expanduser(pattern)
        found = [expanded] if os.path.isfile(expanded) else glob.glob(expanded, recursive=True)
        matches = [epath.Path(path) for path in found if os.path.isfile(path)]
    if not matches:
        raise InputError(f"{what} {pattern!r} matches no file: check the path, and quote a pattern with * in a shell")
    return sorted(matches, key=str)

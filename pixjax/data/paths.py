"""Paths and globs, on the local disk or wherever `etils.epath` reaches (gs://, s3://)."""

import glob
import os

from etils import epath

from pixjax.errors import InputError


def is_remote(path) -> bool:
    return "://" in str(path)


def expand_glob(pattern: str, what: str) -> list[epath.Path]:
    """The files that match, sorted; a plain path matches itself. `what` names the pattern in errors."""
    if is_remote(pattern):
        parts = pattern.split("/")
        fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        if fixed == len(parts):
            matches = [path] if (path := epath.Path(pattern)).exists() else []
        else:
            matches = list(epath.Path("/".join(parts[:fixed])).glob("/".join(parts[fixed:])))
    else:
        expanded = os.path.expanduser(pattern)
        found = [expanded] if os.path.isfile(expanded) else glob.glob(expanded, recursive=True)
        matches = [epath.Path(path) for path in found if os.path.isfile(path)]
    if not matches:
        raise InputError(f"{what} {pattern!r} matches no file: check the path, and quote a pattern with * in a shell")
    return sorted(matches, key=str)

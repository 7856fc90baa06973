"""The folder for what pixjax can make again."""

import os
import pathlib


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

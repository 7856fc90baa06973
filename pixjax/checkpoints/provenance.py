"""What wrote a checkpoint: versions of the code and of the libraries that decide its numbers."""

import functools
import hashlib
import importlib.metadata
import pathlib
import platform
import subprocess

from pixjax.version import __version__

_PACKAGE = pathlib.Path(__file__).parent.parent
_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """Of Python, pixjax and its libraries, the git revision where there is one, and a hash of the source."""
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {
        "python": platform.python_version(),
        "pixjax": __version__,
        "git_revision": _git_revision(),
        "source_sha256": _source_hash(),
        **libraries,
    }


def _git_revision() -> str:
    """Empty outside of a checkout."""
    command = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + path.read_bytes())
    return digest.hexdigest()

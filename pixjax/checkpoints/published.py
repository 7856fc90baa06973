"""A published model: one average of a run in one `model.safetensors`, which other programs read too.

Its parameters have the names that they have in a checkpoint, `blocks/mlp/w12/kernel`. Beside them the header holds what
a checkpoint's `meta` does: the step, the versions, the tree, and a digest of every array.
"""

import contextlib
import functools
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath

from pixjax.checkpoints.checkpoint import Checkpoints, DamagedCheckpoint, require_same_tree
from pixjax.checkpoints.digests import describe_leaves, digest_of_json, digests_on_host, leaf_name, named_leaves
from pixjax.checkpoints.provenance import versions
from pixjax.errors import InputError
from pixjax.models import Params
from pixjax.paths import is_remote

MODEL_FILE = "model.safetensors"
_HEADER = "pixjax"  # a single key, as the library writes several in any order
_PARTS = {"step": int, "versions": dict, "trees": dict, "digests": dict}


def write_published(folder: epath.Path, step: int, item: str, params: Params) -> None:
    """Writes the parameters as the item `ema_DECAY` at a step; the same bytes for the same parameters and versions."""
    from safetensors.numpy import save

    arrays = {name: np.array(leaf, order="C") for name, leaf in named_leaves(jax.device_get(params)).items()}
    content = {
        "step": step,
        "versions": versions(),
        "trees": {item: describe_leaves(arrays)},
        "digests": {item: digests_on_host(arrays)},
    }
    header = {_HEADER: json.dumps({"content": content, "sha256": digest_of_json(content)})}
    (folder / MODEL_FILE).write_bytes(save(arrays, metadata=header))


def is_published(workdir: epath.Path) -> bool:
    return (workdir / MODEL_FILE).exists()


def open_checkpoints(workdir: epath.Path) -> "Checkpoints | PublishedModel":
    """To read: those of a run, or the one of a published model."""
    return PublishedModel(workdir) if is_published(workdir) else Checkpoints(workdir)


class PublishedModel:
    """Reads as `Checkpoints` do, with a single step. Raises `DamagedCheckpoint` for what was not published so."""

    def __init__(self, workdir: epath.Path):
        self.workdir = workdir
        self._content = _header(workdir / MODEL_FILE)

    @functools.cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        with _opened(self.workdir / MODEL_FILE) as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)

    def __enter__(self) -> "PublishedModel":
        return self

    def __exit__(self, *_) -> None:
        pass

    def steps(self) -> list[int]:
        return [self._content["step"]]

    def meta(self, step: int) -> dict[str, Any]:
        return self._content

    def tree(self, step: int, item: str) -> dict[str, str]:
        """Name to dtype and shape of each array. Raises `InputError` for another average than the published one."""
        trees = self._content["trees"]
        if item not in trees:
            raise InputError(f"{self.workdir} has no {item}: it has {', '.join(sorted(trees))}")
        return trees[item]

    def restore_params(self, step: int, item: str, like: Params) -> Params:
        """As `Checkpoints.restore_params`."""
        require_same_tree(self.workdir, item, self.tree(step, item), describe_leaves(like))
        if problems := self.verify(step):
            raise DamagedCheckpoint(problems[0])
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: jax.device_put(self._arrays[leaf_name(path)], leaf.sharding), like
        )

    def verify(self, step: int) -> list[str]:
        """A sentence for what is damaged, none for a good file."""
        try:
            arrays = self._arrays
        except DamagedCheckpoint as error:
            return [str(error)]
        ((item, kept),) = self._content["trees"].items()
        found: dict[str, Any] = describe_leaves(arrays)
        if found == kept:
            found, kept = digests_on_host(arrays), self._content["digests"][item]
        wrong = sorted(name for name in found.keys() | kept.keys() if found.get(name) != kept.get(name))
        return [_damage(self.workdir / MODEL_FILE, f"{name} is not what was published") for name in wrong[:1]]


def _header(path: epath.Path) -> dict[str, Any]:
    with _opened(path) as file:
        header = json.loads((file.metadata() or {})[_HEADER])
        content = header["content"]
        whole = digest_of_json(content) == header["sha256"] and all(
            type(content[p]) is kind for p, kind in _PARTS.items()
        )
    items = (
        [{name: type(value) for name, value in content[part].items()} for part in ("trees", "digests")] if whole else []
    )
    if len(items) != 2 or items[0] != items[1] or list(items[0].values()) != [dict]:
        raise DamagedCheckpoint(_damage(path, "its header is not what was published"))
    return content


@contextlib.contextmanager
def _opened(path: epath.Path) -> Iterator[Any]:
    """The library's view of a file, for the error that reading damage ends in. A remote one is copied meanwhile."""
    from safetensors import SafetensorError, safe_open

    try:
        with tempfile.TemporaryDirectory() if is_remote(path) else contextlib.nullcontext() as folder:
            if folder:
                copy = pathlib.Path(folder) / MODEL_FILE
                copy.write_bytes(path.read_bytes())
            with safe_open(copy if folder else path, framework="numpy") as file:
                yield file
    # AttributeError: a type that NumPy lacks, such as one of 8 bits.
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedCheckpoint(_damage(path, " ".join(str(error).split())[:200])) from error


def _damage(path: epath.Path, reason: str) -> str:
    return f"{path} is damaged, or not written by pixjax export ({reason}): copy the model again"

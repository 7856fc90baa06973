"""Checkpoints: named orbax items in `WORKDIR/checkpoints/STEP/`, verified when they are read; `writer.py` writes them.

`params`, one `ema_DECAY` for each average, `opt_state` and, with an adaptive law of t, `information` are separate
items, so that evaluation restores one average alone, and onto whatever devices it has. Beside them `data` is the state
of the input and of the log, `config` and `codec` say what was trained, and `meta` what wrote it: versions, the tree of
every item, and a digest of every array, since a flipped byte in stored arrays restores silently.
"""

import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from pixjax.checkpoints.array_items import array_handler, arrays_on_host, restore_args
from pixjax.checkpoints.digests import describe_leaves, digest_of_json, digests, digests_on_host
from pixjax.checkpoints.event_loops import drained_event_loops
from pixjax.checkpoints.run_files import CONFIG_FILE, workdir_path
from pixjax.errors import InputError, RunError
from pixjax.models import Params
from pixjax.paths import is_remote
from pixjax.training.state import TrainState

CHECKPOINTS = "checkpoints"
DAMAGED = "damaged"
_COMMITTED = "commit_success.txt"
# Of tensorstore, when it has tried for long, or what a store refused, such as a token that has expired: all but an
# object or a part of one that is not there.
_OUT_OF_REACH = re.compile(
    r"\b(UNAVAILABLE|DEADLINE_EXCEEDED|UNAUTHENTICATED|PERMISSION_DENIED|RESOURCE_EXHAUSTED|ABORTED)\b"
    r"|http_response_code='(?!404|416)[345]"
)
_JSON_ITEMS = ("data", "config", "codec")

# Orbax and absl narrate every save; what goes wrong is raised.
for _name in ("absl", "orbax"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class DamagedCheckpoint(RunError):
    """A checkpoint whose files are not what was saved."""


class Checkpoints:
    """The checkpoints of one workdir, to be read: `CheckpointWriter` adds to them. A context manager."""

    def __init__(self, workdir: epath.Path):
        self.workdir = workdir_path(workdir)  # absolute, as orbax wants it, and no pattern
        self._folder = self.workdir / CHECKPOINTS
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        if not self._folder.exists():
            raise InputError(f"{self.workdir} has no checkpoint: train there first, or name another workdir")
        return open_manager(self.workdir, read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):  # a disk that fails must not hide why the run ends
            self._manager.close()

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def restore_state(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state at a step, with the shardings of `like` (arrays or `ShapeDtypeStruct`s), and the data's state.

        Raises:
          InputError: the checkpoint is of another architecture.
          DamagedCheckpoint: a file is missing, truncated or changed.
        """
        trees = items_of(like)
        restored = self._restore_verified(step, trees)
        state = TrainState(
            step=jax.device_put(np.int32(step), like.step.sharding),
            params=restored["params"],
            opt_state=restored["opt_state"],
            ema={decay: restored[f"ema_{decay}"] for decay in like.ema},
            information=restored.get("information", {}),
        )
        return state, self.facts(step)["data"]

    def restore_params(self, step: int, item: str, like: Params) -> Params:
        """One item, `params` or an `ema_DECAY`, and nothing else. Raises as `restore_state` does."""
        return self._restore_verified(step, {item: like})[item]

    def facts(self, step: int) -> dict[str, Any]:
        """The items `data`, `config` and `codec`, each as it was saved."""
        checksums = self.meta(step)["sha256"]
        found = self._restore(step, **{name: ocp.args.JsonRestore() for name in _JSON_ITEMS})
        for name in _JSON_ITEMS:
            if digest_of_json(found[name]) != checksums[name]:
                raise self._damaged(step, f"{self._folder / str(step) / name} is not what was saved")
        return dict(found)

    def meta(self, step: int) -> dict[str, Any]:
        """What wrote this step, and what each array was."""
        meta = self._restore(step, meta=ocp.args.JsonRestore())["meta"]
        content = meta.get("content") if isinstance(meta, dict) else None
        if (
            not isinstance(content, dict)
            or digest_of_json(content) != meta.get("sha256")
            or not all(isinstance(content.get(part), dict) for part in ("versions", "trees", "digests", "sha256"))
        ):
            raise self._damaged(step, f"{self._folder / str(step) / 'meta'} is not what was saved")
        return content

    def tree(self, step: int, item: str) -> dict[str, str]:
        """Name to dtype and shape of each array of an item. Raises `InputError` where there is no such item."""
        trees = self.meta(step)["trees"]
        if item not in trees:
            raise InputError(f"step {step} in {self.workdir} has no {item}: it has {', '.join(sorted(trees))}")
        return trees[item]

    def verify(self, step: int, *, part: int = 0, parts: int = 1) -> list[str]:
        """Reads everything and compares it with its digests: a sentence for each damage, none for a good one.

        Of several parts it reads all facts, and the arrays of one part alone.
        """
        try:
            meta = self.meta(step)
            self.facts(step)
        except DamagedCheckpoint as error:
            return [str(error)]
        problems = []
        for item, tree in list(meta["trees"].items())[part::parts]:
            try:
                found = arrays_on_host(self._folder / str(step) / item)
                self._require_equal(step, item, tree, describe_leaves(found))
                self._require_equal(step, item, meta["digests"][item], digests_on_host(found))
            except DamagedCheckpoint as error:
                problems.append(str(error))
            except Exception as error:  # orbax and tensorstore raise whatever they stumble over
                self._require_reach(step, error)
                problems.append(str(self._damaged(step, f"{item}: {_one_line(error)}")))
        return problems

    def _restore_verified(self, step: int, trees: Mapping[str, Any]) -> dict[str, Any]:
        meta = self.meta(step)
        for item, tree in trees.items():
            require_same_tree(self.workdir, item, self.tree(step, item), describe_leaves(tree))
        args = {item: restore_args(tree) for item, tree in trees.items()}
        restored = self._restore(step, **args)
        for item in trees:
            self._require_equal(step, item, meta["digests"][item], digests(restored[item]))
        return dict(restored)

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            with drained_event_loops():
                return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # orbax and tensorstore raise whatever they stumble over
            self._require_reach(step, error)
            raise self._damaged(step, _one_line(error)) from error

    def _require_reach(self, step: int, error: Exception) -> None:
        """Raises `RunError` where a store did not answer or let nobody in: that says nothing of the checkpoint."""
        if is_remote(self.workdir) and (_is_out_of_reach(error)):
            raise RunError(
                f"checkpoint {step} in {self.workdir} could not be read ({_one_line(error)}): check the network and "
                "your credentials, and start the same command again; nothing was changed"
            ) from error

    def _damaged(self, step: int, reason: str) -> DamagedCheckpoint:
        return DamagedCheckpoint(
            f"checkpoint {step} in {self.workdir} is damaged ({reason}): pixjax train falls back to an older one, "
            "--checkpoint names one"
        )

    def _require_equal(self, step: int, item: str, saved: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        if wrong := sorted(name for name in saved.keys() | found.keys() if saved.get(name) != found.get(name)):
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            folder = self._folder / str(step) / item
            raise self._damaged(step, f"{wrong[0]}{more} in {folder} is not what was saved")


def open_manager(workdir: epath.Path, **options: Any) -> ocp.CheckpointManager:
    """Orbax's of the checkpoints of a workdir, for arrays of any item; `options` are its own."""
    # Where nothing can be renamed, a mark that is written last says that a checkpoint is whole.
    mode = ocp.options.AtomicityMode.COMMIT_FILE if is_remote(workdir) else ocp.options.AtomicityMode.AUTO
    handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
    arrays = array_handler(workdir)
    handlers.add(None, ocp.args.PyTreeSave, arrays)
    handlers.add(None, ocp.args.PyTreeRestore, arrays)
    return ocp.CheckpointManager(
        workdir / CHECKPOINTS,
        options=ocp.CheckpointManagerOptions(atomicity_options=ocp.options.AtomicityOptions(mode), **options),
        handler_registry=handlers,
    )


def require_same_tree(workdir: epath.Path, item: str, stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises `InputError` where the arrays of an item are not those of a model."""
    differing = sorted(n for n in stored.keys() | wanted.keys() if stored.get(n) != wanted.get(n))
    if differing:
        name = differing[0]
        raise InputError(
            f"the checkpoint in {workdir} is of another architecture: {item} has {name} as "
            f"{stored.get(name, 'absent')} there and {wanted.get(name, 'absent')} in this config "
            f"({len(differing)} arrays differ): use the model.* of its {CONFIG_FILE}"
        )


def _is_out_of_reach(error: BaseException | None) -> bool:
    """Whether a store failed, and not the content of what is in it."""
    while error is not None:
        failed = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        if failed or _OUT_OF_REACH.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def saved_steps(workdir: epath.Path) -> list[int]:
    """Steps with a whole checkpoint. One that is being written has another name, or in a store, where nothing can be
    renamed, no mark yet that it is whole.
    """
    folder = workdir / CHECKPOINTS
    found = [p for p in folder.iterdir() if p.name.isdigit()] if folder.exists() else []
    return sorted(int(p.name) for p in found if not is_remote(p) or (p / _COMMITTED).exists())


def items_of(state: TrainState) -> dict[str, Any]:
    """The arrays of a checkpoint, by item."""
    averages = {f"ema_{decay}": average for decay, average in state.ema.items()}
    information = {"information": state.information} if state.information else {}
    return {"params": state.params, "opt_state": state.opt_state, **averages, **information}


def _one_line(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"
    if error.__cause__:  # orbax names the array, and the cause says what is wrong with it
        said = f"{said[:120]} {type(error.__cause__).__name__}: {error.__cause__}"
    return " ".join(said.split())[:300]

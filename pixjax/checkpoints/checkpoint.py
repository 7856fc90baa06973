"""Checkpoints: named orbax items in `WORKDIR/checkpoints/STEP/`, verified when they are read.

`params`, one `ema_DECAY` for each average, `opt_state` and, with an adaptive law of t, `information` are separate
items, so that evaluation restores one average alone, and onto whatever devices it has. Beside them `data` is the state
of the input and of the log, `config` and `codec` say what was trained, and `meta` what wrote it: versions, the tree of
every item, and a digest of every array, since a flipped byte in stored arrays restores silently.
"""

import base64
import contextlib
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as keep_rules

from pixjax.checkpoints.array_items import array_handler, arrays_on_host, restore_args
from pixjax.checkpoints.digests import describe_leaves, digests, digests_on_host
from pixjax.checkpoints.event_loops import drained_event_loops
from pixjax.checkpoints.provenance import versions
from pixjax.checkpoints.run_files import CONFIG_FILE, workdir_path
from pixjax.checkpoints.save_barrier import SaveBarrier
from pixjax.codec import CanvasCodec
from pixjax.config import Config, TrainingConfig
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
    """The checkpoints of one workdir. A context manager: leaving it waits for the last save."""

    def __init__(self, workdir: epath.Path, *, keep: TrainingConfig | None = None):
        """`keep` says which checkpoints stay when others come; without it nothing can be saved."""
        self.workdir = workdir_path(workdir)  # absolute, as orbax wants it, and no pattern
        self._folder = self.workdir / CHECKPOINTS
        if keep is None and not self._folder.exists():
            raise InputError(f"{self.workdir} has no checkpoint: train there first, or name another workdir")
        self._keep = keep
        self._together = SaveBarrier()
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        # Where nothing can be renamed, a mark that is written last says that a checkpoint is whole.
        mode = ocp.options.AtomicityMode.COMMIT_FILE if is_remote(self.workdir) else ocp.options.AtomicityMode.AUTO
        options: dict[str, Any] = {"atomicity_options": ocp.options.AtomicityOptions(mode)}
        if self._keep is None:
            options["read_only"] = True
        else:
            options["preservation_policy"] = _preservation(self._keep)
            options["best_fn"] = (lambda metrics: metrics["best"]) if self._keep.keep_best else None
            options["cleanup_tmp_directories"] = True  # of a save that was interrupted
            options |= self._together.options()
        handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
        arrays = array_handler(self.workdir)
        handlers.add(None, ocp.args.PyTreeSave, arrays)
        handlers.add(None, ocp.args.PyTreeRestore, arrays)
        return ocp.CheckpointManager(
            self._folder, options=ocp.CheckpointManagerOptions(**options), handler_registry=handlers
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):  # a disk that fails must not hide why the run ends
            self._manager.close()

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    # Writing

    def save(
        self, state: TrainState, data_state: dict[str, Any], config: Config, codec: CanvasCodec, best: float = np.inf
    ) -> None:
        """Starts to write; training goes on meanwhile. Saving a step that is there already does nothing.

        Args:
          best: of `training.best_metric`, lower is better.

        Raises: whatever orbax and the file system raise, of this save or of the one before.
        """
        self._save(int(state.step), _items(state), data_state, config, codec, best)

    def _save(
        self,
        step: int,
        arrays: dict[str, Any],
        data_state: dict[str, Any],
        config: Config,
        codec: CanvasCodec,
        best: float = np.inf,
    ) -> None:
        self._manager.check_for_errors()
        if step in self._manager.all_steps():
            return
        facts = {"data": data_state, "config": config.to_dict(), "codec": _codec_dict(codec)}
        meta = {
            "step": step,
            "versions": versions(),
            "trees": {name: describe_leaves(tree) for name, tree in arrays.items()},
            "digests": {name: digests(tree) for name, tree in arrays.items()},
            "sha256": {name: _sha256(value) for name, value in facts.items()},
        }
        saved = {name: ocp.args.PyTreeSave(tree) for name, tree in arrays.items()}
        saved |= {name: ocp.args.JsonSave(value) for name, value in facts.items()}
        saved["meta"] = ocp.args.JsonSave({"content": meta, "sha256": _sha256(meta)})
        metrics = {"best": best} if self._keep and self._keep.keep_best else None
        if not self._manager.save(step, args=ocp.args.Composite(**saved), metrics=metrics):
            raise RunError(f"step {step} was not saved in {self.workdir}: it holds a later step already")

    def check(self) -> None:
        """Raises what went wrong in a save that has ended since; does not wait for one that goes on."""
        self._manager.check_for_errors()

    def tell_failure(self, reason: str) -> None:
        """A save has failed here: it fails on the other processes too, which would wait for this one."""
        self._together.fail(reason)

    def wait(self) -> None:
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def reopen(self) -> None:
        """After a save that failed: forgets it, and deletes what it left."""
        try:
            self._manager.close()
        except Exception:  # what failed is known, and fails again here
            logging.getLogger(__name__).debug("closing after a failed save", exc_info=True)
        self._manager = self._open()

    def set_aside(self, step: int) -> epath.Path:
        """Moves a damaged checkpoint out of the way, and says where to."""
        self._manager.close()
        target = self.workdir / DAMAGED / str(step)
        if jax.process_index() == 0:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rmtree()
            (self._folder / str(step)).rename(target)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("set aside")
        self._manager = self._open()
        return target

    # Reading

    def restore_state(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state at a step, with the shardings of `like` (arrays or `ShapeDtypeStruct`s), and the data's state.

        Raises:
          InputError: the checkpoint is of another architecture.
          DamagedCheckpoint: a file is missing, truncated or changed.
        """
        trees = _items(like)
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
            if _sha256(found[name]) != checksums[name]:
                raise self._damaged(step, f"{self._folder / str(step) / name} is not what was saved")
        return dict(found)

    def meta(self, step: int) -> dict[str, Any]:
        """What wrote this step, and what each array was."""
        meta = self._restore(step, meta=ocp.args.JsonRestore())["meta"]
        content = meta.get("content") if isinstance(meta, dict) else None
        if (
            not isinstance(content, dict)
            or _sha256(content) != meta.get("sha256")
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

    def read_back(self, step: int) -> None:
        """Reads a checkpoint that was just written, each process a part of it: whatever the save itself said, what
        cannot be read is no checkpoint.

        Raises:
          RunError: on every process, where one of them finds that it is not what was saved.
          FileNotFoundError: it is gone, as on a disk that was removed meanwhile.
        """
        problems = self.verify(step, part=jax.process_index(), parts=jax.process_count())
        if problems and not (self._folder / str(step)).exists():
            raise FileNotFoundError(f"{self._folder / str(step)} is gone")
        failed = bool(problems)
        if jax.process_count() > 1:
            failed = bool(np.any(multihost_utils.process_allgather(np.array(failed))))
        if failed:
            reason = problems[0] if problems else "another process says why"
            raise RunError(
                f"the first checkpoint of this run, step {step}, was written and cannot be read again, so nothing that "
                f"is trained here would be kept: choose another --workdir, on another disk ({reason})"
            )

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


def most_checkpoints(training: TrainingConfig) -> int:
    """That are on disk at one time: those that are kept, and one that is being written."""
    spaced = training.steps // training.keep_every if training.keep_every else 0
    return training.keep_checkpoints + training.keep_best + spaced + 1


def _preservation(training: TrainingConfig) -> keep_rules.AnyPreservationPolicy:
    rules: list[Any] = [keep_rules.LatestN(training.keep_checkpoints)]
    if training.keep_every:
        rules.append(keep_rules.EveryNSteps(training.keep_every))
    if training.keep_best:
        rules.append(keep_rules.BestN(get_metric_fn=lambda m: m["best"], reverse=True, n=training.keep_best))
    return keep_rules.AnyPreservationPolicy(rules)


def _items(state: TrainState) -> dict[str, Any]:
    averages = {f"ema_{decay}": average for decay, average in state.ema.items()}
    information = {"information": state.information} if state.information else {}
    return {"params": state.params, "opt_state": state.opt_state, **averages, **information}


def _codec_dict(codec: CanvasCodec) -> dict[str, Any]:
    """The codec with its tokenizer's files inside."""
    files = {name: base64.b64encode(data).decode() for name, data in (codec.tokenizer_files or {}).items()}
    return {"description": codec.to_dict(), "files": files}


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _one_line(error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"
    if error.__cause__:  # orbax names the array, and the cause says what is wrong with it
        said = f"{said[:120]} {type(error.__cause__).__name__}: {error.__cause__}"
    return " ".join(said.split())[:300]

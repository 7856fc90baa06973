"""Checkpoints as they are written, and which of them stay when others come."""

import base64
import logging
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as keep_rules

from pixjax.checkpoints.checkpoint import DAMAGED, Checkpoints, items_of, open_manager
from pixjax.checkpoints.digests import describe_leaves, digest_of_json, digests
from pixjax.checkpoints.provenance import versions
from pixjax.checkpoints.save_barrier import SaveBarrier
from pixjax.codec import CanvasCodec
from pixjax.config import Config, TrainingConfig
from pixjax.errors import RunError
from pixjax.training.state import TrainState


class CheckpointWriter(Checkpoints):
    """The checkpoints of one workdir, and those that are still to come. Leaving it waits for the last save."""

    def __init__(self, workdir: epath.Path, *, keep: TrainingConfig):
        """`keep` says which checkpoints stay when others come."""
        self._keep = keep
        self._together = SaveBarrier()
        super().__init__(workdir)

    def _open(self) -> ocp.CheckpointManager:
        return open_manager(
            self.workdir,
            preservation_policy=_preservation(self._keep),
            best_fn=(lambda metrics: metrics["best"]) if self._keep.keep_best else None,
            cleanup_tmp_directories=True,  # of a save that was interrupted
            **self._together.options(),
        )

    def save(
        self, state: TrainState, data_state: dict[str, Any], config: Config, codec: CanvasCodec, best: float = np.inf
    ) -> None:
        """Starts to write; training goes on meanwhile. Saving a step that is there already does nothing.

        Args:
          best: of `training.best_metric`, lower is better.

        Raises: whatever orbax and the file system raise, of this save or of the one before.
        """
        self.save_items(int(state.step), items_of(state), data_state, config, codec, best)

    def save_items(
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
            "sha256": {name: digest_of_json(value) for name, value in facts.items()},
        }
        saved = {name: ocp.args.PyTreeSave(tree) for name, tree in arrays.items()}
        saved |= {name: ocp.args.JsonSave(value) for name, value in facts.items()}
        saved["meta"] = ocp.args.JsonSave({"content": meta, "sha256": digest_of_json(meta)})
        metrics = {"best": best} if self._keep.keep_best else None
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


def _codec_dict(codec: CanvasCodec) -> dict[str, Any]:
    """The codec with its tokenizer's files inside."""
    files = {name: base64.b64encode(data).decode() for name, data in (codec.tokenizer_files or {}).items()}
    return {"description": codec.to_dict(), "files": files}

"""Checkpoints: named orbax items in `WORKDIR/checkpoints/STEP/`, beside `config.json`, `data.json` and `codec/`.

`params`, one `ema_DECAY` for each average, `opt_state` and `data` are separate items, so that evaluation restores one
average alone, and onto whatever devices it has.
"""

import json
import logging
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.config_file import config_from_json
from pixjax.data import text_share
from pixjax.errors import InputError, RunError
from pixjax.models import Params
from pixjax.training.state import TrainState

CONFIG_FILE = "config.json"
CODEC_FOLDER = "codec"
DATA_FILE = "data.json"
CHECKPOINTS = "checkpoints"

# Orbax and absl narrate every save; what goes wrong is raised.
for _name in ("absl", "orbax"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints of one workdir. A context manager: leaving it waits for the last save."""

    def __init__(self, workdir: epath.Path, *, keep: int = 1, read_only: bool = False):
        workdir = workdir.expanduser().resolve()  # orbax refuses relative paths
        folder = workdir / CHECKPOINTS
        if read_only and not folder.exists():
            raise InputError(f"{workdir} has no checkpoint: train there first, or name another workdir")
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.LatestN(keep), read_only=read_only, create=not read_only
        )
        self.workdir = workdir
        self._manager = ocp.CheckpointManager(epath.Path(folder), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_) -> None:
        self._manager.close()

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, data_state: dict[str, Any]) -> None:
        """Starts to write; training goes on meanwhile. Saving a step that is there already does nothing."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        arrays = {"params": state.params, "opt_state": state.opt_state}
        arrays |= {f"ema_{decay}": average for decay, average in state.ema.items()}
        items = {name: ocp.args.StandardSave(tree) for name, tree in arrays.items()}
        if not self._manager.save(step, args=ocp.args.Composite(data=ocp.args.JsonSave(data_state), **items)):
            raise RunError(f"step {step} was not saved in {self.workdir}: it holds a later step already")

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def restore_state(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The state at a step, with the shardings of `like` (arrays or `ShapeDtypeStruct`s), and the data's state."""
        trees = {"params": like.params, "opt_state": like.opt_state}
        trees |= {f"ema_{decay}": average for decay, average in like.ema.items()}
        for name, tree in trees.items():
            if name != "opt_state":  # its stored tree has other containers; the same parameters decide it
                self._require_same_tree(step, name, tree)
        args = {name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in trees.items()}
        restored = self._restore(step, data=ocp.args.JsonRestore(), **args)
        state = TrainState(
            step=jax.device_put(np.int32(step), like.step.sharding),
            params=restored["params"],
            opt_state=restored["opt_state"],
            ema={decay: restored[f"ema_{decay}"] for decay in like.ema},
        )
        return state, restored["data"]

    def restore_params(self, step: int, item: str, like: Params) -> Params:
        """One item, `params` or an `ema_DECAY`, and nothing else."""
        self._require_same_tree(step, item, like)
        return self._restore(step, **{item: ocp.args.StandardRestore(_abstract(like))})[item]

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # orbax and tensorstore raise whatever they stumble over
            raise self._damaged(step, error) from error

    def _damaged(self, step: int, error: Exception) -> RunError:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return RunError(f"checkpoint {step} in {self.workdir} is damaged: delete it to use an older one ({reason})")

    def shapes(self, step: int, item: str) -> dict[str, tuple[int, ...]]:
        """Path to shape of each stored array of an item."""
        folder = self.workdir / CHECKPOINTS / str(step)
        if not (folder / item).exists():
            items = ", ".join(sorted(child.name for child in folder.iterdir() if child.is_dir()))
            raise InputError(f"step {step} in {self.workdir} has no {item}: it has {items}")
        try:
            with ocp.StandardCheckpointer() as checkpointer:
                return _shapes(checkpointer.metadata(folder / item).item_metadata.tree)
        except Exception as error:
            raise self._damaged(step, error) from error

    def _require_same_tree(self, step: int, item: str, like: Params) -> None:
        stored, wanted = self.shapes(step, item), _shapes(like)
        if stored == wanted:
            return
        differing = sorted(set(stored.items()) ^ set(wanted.items()))
        name = differing[0][0]
        raise InputError(
            f"the checkpoint in {self.workdir} is of another architecture: "
            f"{name} is {stored.get(name, 'absent')} there and "
            f"{wanted.get(name, 'absent')} in this config "
            f"({len({n for n, _ in differing})} arrays differ): use the model.* of its {CONFIG_FILE}"
        )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(getattr(key, "key", key)) for key in path): tuple(leaf.shape) for path, leaf in leaves}


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


def saved_steps(workdir: epath.Path) -> list[int]:
    """Steps with a whole checkpoint; one that is being written has another name."""
    folder = workdir / CHECKPOINTS
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.exists() else []


def write_run(workdir: epath.Path, config: Config, codec: CanvasCodec) -> None:
    """Makes a workdir self-describing: nothing but itself is needed to use what was trained in it."""
    workdir.mkdir(parents=True, exist_ok=True)
    codec.save(workdir / CODEC_FOLDER)
    (workdir / DATA_FILE).write_text(json.dumps({"text_share": text_share(config)}) + "\n")
    (workdir / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=2) + "\n")


def read_run(workdir: epath.Path) -> tuple[Config, CanvasCodec]:
    """The config and the codec that a workdir was trained with."""
    if not (path := workdir / CONFIG_FILE).exists():
        raise InputError(f"{workdir} is not a workdir, it has no {CONFIG_FILE}: give the --workdir of a training run")
    return config_from_json(path.read_text(), str(path)), CanvasCodec.load(workdir / CODEC_FOLDER)


def read_text_share(workdir: epath.Path) -> float:
    """The share of text canvases that a run was trained on: 0 is images alone, 1 text alone."""
    return float(json.loads((workdir / DATA_FILE).read_text())["text_share"])

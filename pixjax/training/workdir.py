"""Checks that a config may be trained in a workdir."""

import contextlib
from typing import Any

from etils import epath

from pixjax.checkpoints.checkpoint import Checkpoints, DamagedCheckpoint, saved_steps
from pixjax.checkpoints.published import is_published
from pixjax.checkpoints.run_files import CODEC_FOLDER, CONFIG_FILE, damaged_files, require_no_links
from pixjax.codec import CanvasCodec
from pixjax.codec.tokenizer_files import BUILT_IN
from pixjax.config import Config
from pixjax.config_file import config_from_json
from pixjax.errors import InputError
from pixjax.paths import same_place
from pixjax.training.finetune import origin_state

# What may change between two starts of one run, because no batch and no update depends on it.
_FREE = (
    "training.checkpoint_every",
    "training.keep_",
    "training.best_metric",
    "training.save_retry_seconds",
    "training.hang_minutes",
    "training.log_every",
    "training.max_skipped_updates",
    "training.profile_steps",
    "training.mesh",
    "training.steps",
    "data.workers",
    "data.max_bad_fraction",
    "sampling",
    "evaluation",
)


def require_same_run(workdir: epath.Path, config: Config, codec: CanvasCodec) -> list[str]:
    """Compares what a workdir holds with what is to be trained in it. Paths may have changed where what lies there has
    not: of a tokenizer and of `init_from` this is looked at here, of sources by `BatchIterator.set_state`.

    Returns:
      What to tell the user: what lies elsewhere now.

    Raises:
      InputError: the workdir holds another run, with the keys that differ, or links to elsewhere.
    """
    require_no_links(workdir)
    if is_published(workdir):
        raise InputError(
            f"{workdir} holds a published model, which training does not go on from: choose another --workdir, and "
            f"start from its weights with --config.training.init_from={workdir}"
        )
    stored_run = _stored_run(workdir)
    if stored_run is None:
        return []
    stored_config, stored_codec = stored_run
    stored, wanted = _flat(stored_config.to_dict()), _flat(config.to_dict())
    # A cosine ends at the last step, so another number of steps is another schedule.
    free = tuple(key for key in _FREE if not (key == "training.steps" and config.training.decay == "cosine"))
    changed = [k for k in wanted if stored.get(k) != wanted[k] and not k.startswith(free)]
    moved = [key for key in changed if _may_have_moved(key, workdir, stored_config, config)]
    changed = [key for key in changed if key not in moved]
    if changed:
        shown = ", ".join(f"{k} is {stored.get(k)!r} there and {wanted[k]!r} here" for k in changed[:3])
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise InputError(
            f"{workdir} holds a run of another config ({shown}{more}): choose another --workdir, "
            "or start from its weights with --config.training.init_from"
        )
    if stored_codec != codec.to_dict():  # a tokenizer's file is not in the config
        raise InputError(
            f"{workdir} was trained with another tokenizer than {config.codec.tokenizer} is now: choose another "
            f"--workdir, or put the file back (a copy is in {workdir / CODEC_FOLDER})"
        )
    return [
        f"note: {key}={wanted[key]} has the content of {stored[key]}, which this run began with"
        for key in moved
        if key != "data.sources" and not same_place(stored[key], wanted[key])
    ]


def saved_data_state(workdir: epath.Path) -> dict[str, Any]:
    """The state of the input and of the log at the newest checkpoint that can be read; empty where there is none."""
    facts = _newest_facts(workdir)
    return facts["data"] if facts else {}


def _may_have_moved(key: str, workdir: epath.Path, stored: Config, config: Config) -> bool:
    """Whether a key that differs is a path, and the same may lie there."""
    if key == "data.sources":
        return len(stored.data.sources) == len(config.data.sources)
    if key == "codec.tokenizer":
        return not {stored.codec.tokenizer, config.codec.tokenizer} & set(BUILT_IN)  # the codecs are compared
    if key != "training.init_from" or not (stored.training.init_from and config.training.init_from):
        return False
    if same_place(stored.training.init_from, config.training.init_from):
        return True
    began: dict[str, Any] | None = saved_data_state(workdir).get("init_from")
    return began is not None and origin_state(config.training.init_from, began["step"]) == began


def _stored_run(workdir: epath.Path) -> tuple[Config, dict[str, Any]] | None:
    """Config and codec of the workdir; where its files are damaged, those of its newest whole checkpoint."""
    path = workdir / CONFIG_FILE
    if not damaged_files(workdir):
        return config_from_json(path.read_bytes(), str(path)), CanvasCodec.load(workdir / CODEC_FOLDER).to_dict()
    facts = _newest_facts(workdir)
    return (Config.from_dict(facts["config"]), facts["codec"]["description"]) if facts else None


def _newest_facts(workdir: epath.Path) -> dict[str, Any] | None:
    """None where nothing was trained, or all is damaged: the run says which checkpoints are."""
    if not (steps := saved_steps(workdir)):
        return None
    with Checkpoints(workdir) as checkpoints:
        for step in reversed(steps):
            with contextlib.suppress(DamagedCheckpoint):
                return checkpoints.facts(step)
    return None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

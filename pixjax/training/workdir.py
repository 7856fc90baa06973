"""May this config be trained in this workdir?"""

from typing import Any

from etils import epath

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.config_file import config_from_json
from pixjax.errors import InputError
from pixjax.training.checkpoint import Checkpoints, DamagedCheckpoint, saved_steps
from pixjax.training.run_files import CODEC_FOLDER, CONFIG_FILE, damaged_files, require_no_links

# What may change between two starts of one run, because no batch and no update depends on it.
_FREE = (
    "training.checkpoint_every",
    "training.keep_",
    "training.best_metric",
    "training.save_retry_seconds",
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


def require_same_run(workdir: epath.Path, config: Config, codec: CanvasCodec) -> None:
    """Raises `InputError`, with the keys that differ, when the workdir holds another run, or links to elsewhere."""
    require_no_links(workdir)
    stored_run = _stored_run(workdir)
    if stored_run is None:
        return
    stored_config, stored_codec = stored_run
    stored, wanted = _flat(stored_config.to_dict()), _flat(config.to_dict())
    # A cosine ends at the last step, so another number of steps is another schedule.
    free = tuple(key for key in _FREE if not (key == "training.steps" and config.training.decay == "cosine"))
    changed = [k for k in wanted if stored.get(k) != wanted[k] and not k.startswith(free)]
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


def _stored_run(workdir: epath.Path) -> tuple[Config, dict[str, Any]] | None:
    """Config and codec of the workdir; where its files are damaged, those of its newest whole checkpoint."""
    path = workdir / CONFIG_FILE
    if not damaged_files(workdir):
        return config_from_json(path.read_bytes(), str(path)), CanvasCodec.load(workdir / CODEC_FOLDER).to_dict()
    if not (steps := saved_steps(workdir)):
        return None  # nothing was trained here
    with Checkpoints(workdir) as checkpoints:
        for step in reversed(steps):
            try:
                facts = checkpoints.facts(step)
            except DamagedCheckpoint:
                continue
            return Config.from_dict(facts["config"]), facts["codec"]["description"]
    return None  # the run says which checkpoints are damaged


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

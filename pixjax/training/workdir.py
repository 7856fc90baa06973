"""May this config be trained in this workdir?"""

from typing import Any

from etils import epath

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.config_file import config_from_json
from pixjax.errors import InputError
from pixjax.training.checkpoint import CODEC_FOLDER, CONFIG_FILE

# What may change between two starts of one run, because no batch and no update depends on it.
_FREE = (
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.log_every",
    "training.max_skipped_updates",
    "training.profile_steps",
    "training.mesh",
    "training.steps",
    "data.workers",
    "data.max_bad_fraction",
    "sampling",
)


def require_same_run(workdir: epath.Path, config: Config, codec: CanvasCodec) -> None:
    """Raises `InputError`, with the keys that differ, when the workdir holds another run."""
    path = workdir / CONFIG_FILE
    if not path.exists():
        return
    stored, wanted = (_flat(c.to_dict()) for c in (config_from_json(path.read_text(), str(path)), config))
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
    if CanvasCodec.load(workdir / CODEC_FOLDER).to_dict() != codec.to_dict():  # a tokenizer's file is not in the config
        raise InputError(
            f"{workdir} was trained with another tokenizer than {config.codec.tokenizer} is now: choose another "
            f"--workdir, or put the file back (a copy is in {workdir / CODEC_FOLDER})"
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

"""Start a run from the parameters of another one."""

import re
from collections.abc import Mapping
from typing import Any

import jax

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data.fingerprint import digest
from pixjax.errors import InputError, RunError
from pixjax.models import JiT, Params
from pixjax.training.checkpoint import Checkpoints
from pixjax.training.run_files import CONFIG_FILE, find_workdir, read_run
from pixjax.training.state import init_params

# A condition or a codebook that the first run did not have begins untrained; every other parameter has to be there.
NEW_PARAMETERS = re.compile(
    "type_embedding|class_embedding|embed_previous|context_segment|context_modality|embed_ids|out_ids|cells_.*"
)


def params_from(origin: str, like: Params, config: Config, codec: CanvasCodec, model: JiT) -> tuple[Params, list[str]]:
    """The first average of the newest checkpoint in `origin`, with fresh embeddings for conditions that are new here.

    Returns:
      The parameters, and what to tell the user.

    Raises:
      InputError: no checkpoint there, or one of another architecture.
    """
    workdir = find_workdir(origin, "training.init_from")
    if not (workdir / CONFIG_FILE).exists():
        raise InputError(
            f"training.init_from={origin} is not a workdir, {workdir} has no {CONFIG_FILE}: give that of a training run"
        )
    origin_config, origin_codec = read_run(workdir)
    item = f"ema_{origin_config.training.ema_decays[0]}"
    with Checkpoints(workdir) as checkpoints:
        if not (steps := checkpoints.steps()):
            raise InputError(f"training.init_from={origin} has no checkpoint: train there first")
        stored = {name.split("/")[0] for name in checkpoints.tree(steps[-1], item)}
        new = [name for name in sorted(like) if NEW_PARAMETERS.fullmatch(name) and name not in stored]
        params = checkpoints.restore_params(steps[-1], item, {k: v for k, v in like.items() if k not in new})
    notes = [f"starting from step {steps[-1]} of {origin}"]
    if new:
        fresh = jax.jit(
            lambda: {name: init_params(model, jax.random.key(config.training.seed))[name] for name in new}
        )()
        params = params | fresh
        notes[0] += f"; new here: {', '.join(new)}"
    # The shapes do not tell one code from another, nor how patches are turned, so a reader has to be told.
    notes += _differences(origin_codec.to_dict(), codec.to_dict(), "codec.")
    notes += _differences({"rope": origin_config.model.rope}, {"rope": config.model.rope}, "model.")
    notes += _differences(
        {"noise_scale": origin_config.diffusion.noise_scale},
        {"noise_scale": config.diffusion.noise_scale},
        "diffusion.",
    )
    return params, notes


def origin_state(origin: str, step: int | None = None) -> dict[str, Any] | None:
    """What `params_from` starts from, wherever it lies: the step, the newest unless it is given, and a digest of its
    parameters. JSON-able. None where there is no such checkpoint.
    """
    try:
        workdir = find_workdir(origin, "training.init_from")
        config, _ = read_run(workdir)
        with Checkpoints(workdir) as checkpoints:
            if step is None:
                step = checkpoints.steps()[-1]
            digests = checkpoints.meta(step)["digests"][f"ema_{config.training.ema_decays[0]}"]
    except (InputError, RunError, LookupError):
        return None
    return {"step": step, "content": digest(f"{name} {value}" for name, value in sorted(digests.items()))}


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str) -> list[str]:
    return [
        f"note: {prefix}{key} is {here[key]!r}, where these parameters were trained it was {there[key]!r}"
        for key in here
        if there[key] != here[key]
    ]

"""Start a run from the parameters of another one."""

import jax
from etils import epath

from pixjax.errors import InputError
from pixjax.models import JiT, Params
from pixjax.training.checkpoint import Checkpoints, read_run
from pixjax.training.state import init_params

# A condition that the first run did not have begins untrained; every other parameter has to be there.
NEW_PARAMETERS = ("type_embedding", "class_embedding")


def params_from(origin: str, like: Params, seed: int, model: JiT) -> tuple[Params, list[str]]:
    """The first average of the newest checkpoint in `origin`, with fresh embeddings for conditions that are new here.

    Returns:
      The parameters, and what to tell the user.

    Raises:
      InputError: no checkpoint there, or one of another architecture.
    """
    workdir = epath.Path(origin)
    config, _ = read_run(workdir)
    item = f"ema_{config.training.ema_decays[0]}"
    with Checkpoints(workdir, read_only=True) as checkpoints:
        if not (steps := checkpoints.steps()):
            raise InputError(f"training.init_from={origin} has no checkpoint: train there first")
        stored = checkpoints.shapes(steps[-1], item)
        new = [name for name in NEW_PARAMETERS if name in like and name not in stored]
        params = checkpoints.restore_params(steps[-1], item, {k: v for k, v in like.items() if k not in new})
    notes = [f"starting from step {steps[-1]} of {origin}"]
    if new:
        fresh = jax.jit(lambda: {name: init_params(model, jax.random.key(seed))[name] for name in new})()
        params = params | fresh
        notes[0] += f"; new here: {', '.join(new)}"
    return params, notes

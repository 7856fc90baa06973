"""Start a run from the parameters of another one."""

import re
from collections.abc import Mapping
from typing import Any

import jax

from pixjax.checkpoints.published import open_checkpoints
from pixjax.checkpoints.run_files import CONFIG_FILE, find_workdir, read_run
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data.source_identity import digest
from pixjax.errors import InputError, RunError
from pixjax.models import JiT, Params
from pixjax.training.mesh import replicated
from pixjax.training.state import init_params

# A condition or a text head that the first run did not have begins untrained; every other parameter has to be there.
NEW_PARAMETERS = re.compile(
    "type_embedding|class_embedding|embed_previous|context_segment|context_modality|embed_ids|out_ids|cells_.*|first_patch"
)

_CLASSES = "class_embedding"


def params_from(origin: str, like: Params, config: Config, codec: CanvasCodec, model: JiT) -> tuple[Params, list[str]]:
    """The first average of the newest checkpoint in `origin`, with fresh embeddings for conditions that are new here,
    and for the classes where there are more or fewer of them.

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
    with open_checkpoints(workdir) as checkpoints:
        if not (steps := checkpoints.steps()):
            raise InputError(f"training.init_from={origin} has no checkpoint: train there first")
        tree = checkpoints.tree(steps[-1], item)
        stored = {name.split("/")[0] for name in tree}
        new = [name for name in sorted(like) if NEW_PARAMETERS.fullmatch(name) and name not in stored]
        wanted = {name: leaf for name, leaf in like.items() if name not in new}
        if other_classes := _CLASSES in stored and origin_config.model.num_classes != config.model.num_classes:
            wanted[_CLASSES] = _as_stored(tree[_CLASSES], like)
        params = checkpoints.restore_params(steps[-1], item, wanted)
    notes = [f"starting from step {steps[-1]} of {origin}"]
    if new:
        fresh = jax.jit(
            lambda: {name: init_params(model, jax.random.key(config.training.seed))[name] for name in new}
        )()
        params = params | fresh
        notes[0] += f"; new here: {', '.join(new)}"
    if other_classes:
        old = params.pop(_CLASSES)
        there, here = origin_config.model.num_classes, config.model.num_classes
        notes[0] += f"; the {there} classes there are {here} here: "
        if here:
            params[_CLASSES] = _new_classes(old, model, config.training.seed)
            notes[0] += f"{_CLASSES} is new, but for what it holds for canvases without a label"
        else:
            notes[0] += f"{_CLASSES} is left out"
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
        with open_checkpoints(workdir) as checkpoints:
            if step is None:
                step = checkpoints.steps()[-1]
            digests = checkpoints.meta(step)["digests"][f"ema_{config.training.ema_decays[0]}"]
    except (InputError, RunError, LookupError):
        return None
    return {"step": step, "content": digest(f"{name} {value}" for name, value in sorted(digests.items()))}


def _as_stored(described: str, like: Params) -> jax.ShapeDtypeStruct:
    """A table of `described` dtype and shape, such as `float32[11,192]`, whole on every device."""
    dtype, shape = re.fullmatch(r"(\w+)\[([\d,]*)\]", described).groups()  # type: ignore[union-attr]
    mesh = jax.tree.leaves(like)[0].sharding.mesh
    return jax.ShapeDtypeStruct(tuple(map(int, shape.split(","))), dtype, sharding=replicated(mesh))


def _new_classes(old: jax.Array, model: JiT, seed: int) -> jax.Array:
    """Fresh rows for the classes. The last row, no label, is the old one: without a label all comes out as it did."""
    return jax.jit(lambda last: init_params(model, jax.random.key(seed))[_CLASSES].at[-1].set(last))(old[-1])


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str) -> list[str]:
    return [
        f"note: {prefix}{key} is {here[key]!r}, where these parameters were trained it was {there[key]!r}"
        for key in here
        if there[key] != here[key]
    ]

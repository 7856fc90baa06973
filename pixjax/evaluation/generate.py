"""Make canvases with a trained model, and decide by their tag what each one is."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from pixjax.codec import IMAGE, TEXT, to_float, to_uint8
from pixjax.config import Config
from pixjax.diffusion import Pinned, sample
from pixjax.errors import InputError
from pixjax.evaluation.restore import Denoiser
from pixjax.models import NO_LABEL, Context, denoise, type_condition
from pixjax.training.mesh import batch_sharding

Wanted = Literal["text", "image", "any"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Canvases made by the model. `modality` is what their tag says: the marker where there is one, else the
    condition.
    """

    x: Float[np.ndarray, "num height width 3"]  # as the model made it, about [-1, 1]
    canvases: UInt8[np.ndarray, "num height width 3"]  # the same, clipped and rounded
    modality: Int[np.ndarray, " num"]
    modality_margin: Float[np.ndarray, " num"]  # of the marker; 1 without one


def generate(
    denoiser: Denoiser,
    wanted: Wanted,
    num: int,
    *,
    seed: int = 0,
    sampler: str = "",
    steps: int = 0,
    label: int = NO_LABEL,
    context: Context | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Generated:
    """Sample i depends on (seed, i) alone, not on how many are made or on how many devices.

    Args:
      wanted: `any` lets a model with a marker choose by itself; with a type condition it is drawn by the
        share of text in training.
      sampler, steps: empty and 0 mean the config's.
      context: of each of the `num` samples (`pixjax.evaluation.prompts`); None is none, and costs nothing.
      stop: asked between two batches; when it says so, the canvases that are made so far are returned.

    Raises:
      InputError: a modality that the model was not trained on or cannot be asked for, or a label it does not have.
    """
    config, codec = denoiser.config, denoiser.codec
    require_possible(denoiser, wanted, label)
    key = jax.random.key(seed)
    asked = _asked(denoiser, wanted, num, key)
    run = functools.partial(
        _sample_batch,
        denoiser,
        pin=wanted != "any" and codec.marker,
        sampler=sampler or config.sampling.sampler,
        steps=steps or config.sampling.steps,
    )
    batch = -(-config.sampling.batch_size // denoiser.mesh.size) * denoiser.mesh.size
    made = []
    for start in range(0, num, batch):
        if stop():
            break
        index = np.arange(start, start + batch)  # beyond num: computed to keep one shape, and dropped
        modality = asked[np.minimum(index, num - 1)]
        labels = np.where(modality == TEXT, NO_LABEL, label).astype(np.int32)
        of_batch = jax.tree.map(lambda values, index=index: values[np.minimum(index, num - 1)], context)
        canvases = run(index, modality, labels, of_batch, key)
        made.append(np.asarray(canvases)[: num - start])
    size = config.model.canvas_size
    x = np.concatenate([np.zeros((0, size, size, 3), np.float32), *made])
    modality, margin = asked[: len(x)], np.ones(len(x), np.float32)
    if codec.marker:
        modality, margin = codec.decode_modality(x)
    return Generated(
        x=x,
        canvases=to_uint8(x),
        modality=modality,
        modality_margin=margin,
    )


def require_possible(denoiser: Denoiser, wanted: Wanted, label: int = NO_LABEL) -> None:
    """Raises the `InputError` that `generate` would, before anything is computed or written."""
    if label != NO_LABEL and wanted == "text":
        raise InputError(f"--label={label} is a class of natural images: leave it out with --modality=text")
    classes = denoiser.config.model.num_classes
    if label != NO_LABEL and not 0 <= label < classes:
        known = f"0 to {classes - 1}" if classes else "none, model.num_classes=0"
        raise InputError(f"--label={label} is not a class of this model: it has {known}")
    trained = {"text": TEXT, "image": IMAGE}
    if wanted != "any" and trained[wanted] not in denoiser.modalities:
        raise InputError(
            f"--modality={wanted}: this model was not trained on it, data.sources={denoiser.config.data.sources}"
        )
    if denoiser.config.model.tagging == "none" and len(denoiser.modalities) > 1:
        raise InputError(
            "this model was trained on text and images with model.tagging='none', so nothing tells what it makes: "
            "train with a marker or a condition"
        )


def _asked(denoiser: Denoiser, wanted: Wanted, num: int, key: jax.Array) -> Int[np.ndarray, " num"]:
    """The modality that each canvas is asked to have; it means nothing to a model that chooses by itself."""
    if wanted != "any":
        return np.full(num, TEXT if wanted == "text" else IMAGE, np.int32)
    draws = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, 2 * i + 1)))(jnp.arange(num))
    return np.where(np.asarray(draws) < denoiser.text_share, TEXT, IMAGE).astype(np.int32)


def _sample_batch(
    denoiser: Denoiser, index, asked, label, context, key, *, pin: bool, sampler: str, steps: int
) -> jax.Array:
    config, codec = denoiser.config, denoiser.codec
    size = config.model.canvas_size
    blank = np.zeros((len(index), size, size, 3), np.uint8)
    # What the two tags change is the marker; where they agree nothing is pinned.
    marked = np.where((asked == TEXT)[:, None, None, None], codec.mark(blank, TEXT), codec.mark(blank, IMAGE))
    mask = np.any(codec.mark(blank, TEXT) != codec.mark(blank, IMAGE), axis=-1) & pin
    inputs = (index, asked, label, context, marked, mask)
    inputs = jax.device_put(inputs, batch_sharding(denoiser.mesh))
    return _sample(denoiser.model, config, sampler, steps, denoiser.params, key, *inputs)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sample(
    model, config: Config, sampler: str, steps: int, params, key, index, asked, label, context, marked, mask
) -> jax.Array:
    shape = marked.shape[1:]
    noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, 2 * i), shape))(index)
    type_id = type_condition(config.model, asked)
    return sample(
        lambda z, t: denoise(model, params, z, t, type_id, label, context=context),
        noise,
        sampler=sampler,
        steps=steps,
        noise_scale=config.diffusion.noise_scale,
        pinned=Pinned(canvas=to_float(marked), mask=mask),
    )

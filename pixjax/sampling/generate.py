"""Make canvases with a trained model, and decide by their tag what each one is."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality, to_float, to_uint8
from pixjax.codec.scale import Array as AnyArray
from pixjax.config import Config, SamplingConfig
from pixjax.diffusion import ONCE, WHOLE, Frames, Known, Repeats, guide, keep_known, project, sample, time_grids
from pixjax.models import NO_LABEL, NO_TYPE, Context, JiT, Params, denoise, marker_first, type_condition
from pixjax.sampling.infill import KnownPixels
from pixjax.sampling.request import ModalityChoice
from pixjax.sampling.text_in_order import text_in_order
from pixjax.training.mesh import batch_sharding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated:
    """Canvases made by the model. `modality` is what their tag says: the marker where there is one, else the
    condition.

    `frames` are the clean predictions of some steps, made at the times `frame_times`: none unless asked for.
    """

    x: Float[np.ndarray, "num height width 3"]  # as the model made it, about [-1, 1]
    canvases: UInt8[np.ndarray, "num height width 3"]  # the same, clipped and rounded
    modality: Int[np.ndarray, " num"]
    modality_margin: Float[np.ndarray, " num"]  # of the marker; 1 without one
    frames: Float[np.ndarray, "num frames height width 3"]
    frame_times: Float[np.ndarray, "num frames"]


def generate(
    denoiser: Denoiser,
    modality: ModalityChoice,
    num: int,
    *,
    settings: SamplingConfig,
    seed: int = 0,
    label: int = NO_LABEL,
    given: KnownPixels | None = None,
    context: Context | None = None,
    trajectory: Sequence[int] = (),
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int], object] = lambda made: None,
) -> Generated:
    """Sample i depends on (seed, i) alone: but for rounding it is the same however many are made, on any devices.

    Args:
      settings: of `require_possible`, which has refused what this model cannot do; here nothing is checked.
      modality: `any` lets a model with a marker choose by itself; with a type condition, or a marker that is decided
        first, it is drawn by the share of text in training.
      given: what is known of every canvas, whose modality is `modality`: see `infill.py`.
      context: of each of the `num` samples (`pixjax.sampling.prompts`); None is none, and costs nothing.
      trajectory: steps, from 0, whose clean prediction is kept in `frames`.
      stop: asked between two batches; when it says so, the canvases that are made so far are returned.
      progress: told after each batch how many canvases there are.
    """
    key = jax.random.key(seed)
    asked = _asked(denoiser, modality, num, key)
    run = functools.partial(_make_batch, denoiser, settings, modality, given, trajectory)
    if settings.blocks.text != WHOLE and TEXT in asked:
        run = functools.partial(_make_parts, denoiser, settings, run, trajectory)
    batches = max(1, -(-num // settings.batch_size))
    batch = -(-num // (batches * denoiser.mesh.size)) * denoiser.mesh.size  # as even as may be
    size = denoiser.config.model.canvas_size
    x = np.zeros((num, size, size, 3), np.float32)
    frames, frame_times = np.zeros((num, len(trajectory), size, size, 3), np.float32), np.zeros((num, len(trajectory)))
    made = 0
    while made < num and not stop():
        index = np.arange(made, made + batch)  # beyond num: computed to keep one shape, and dropped
        modalities = asked[np.minimum(index, num - 1)]
        labels = np.where(modalities == TEXT, NO_LABEL, label).astype(np.int32)
        of_batch = jax.tree.map(lambda values, index=index: values[np.minimum(index, num - 1)], context)
        canvases, kept = jax.device_get(run(index, modalities, labels, of_batch, key))
        part = slice(made, min(made + batch, num))
        count = part.stop - part.start
        x[part] = canvases[:count]
        frames[part], frame_times[part] = np.moveaxis(kept.x_hat, 0, 1)[:count], kept.t.T[:count]
        made = part.stop
        progress(made)
    modalities, margin = asked[:made], np.ones(made, np.float32)
    if denoiser.codec.marker:
        modalities, margin = denoiser.codec.decode_modality(x[:made])
    return Generated(
        x=x[:made],
        canvases=to_uint8(x[:made]),
        modality=modalities,
        modality_margin=margin,
        frames=frames[:made],
        frame_times=frame_times[:made],
    )


def _asked(denoiser: Denoiser, choice: ModalityChoice, num: int, key: jax.Array) -> Int[np.ndarray, " num"]:
    """The modality that each canvas is asked to have; it means nothing to a model that chooses by itself."""
    if choice != "any":
        return np.full(num, Modality.of(choice), np.int32)
    draws = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, 2 * i + 1)))(jnp.arange(num))
    return np.where(np.asarray(draws) < denoiser.text_share, TEXT, IMAGE).astype(np.int32)


def _make_parts(
    denoiser: Denoiser, settings: SamplingConfig, run, trajectory: Sequence[int], index, modality, label, context, key
) -> tuple[Array, Frames]:
    """Text in its order, and images as a whole; where a batch has both, each is made of all of it and half is kept."""
    made, kept = text_in_order(denoiser, settings, trajectory, index, context, key)
    if (modality == TEXT).all():
        return made, kept
    image, of_image = run(index, np.full_like(modality, IMAGE), label, context, key)
    is_text = (modality == TEXT)[:, None, None, None]
    frames = Frames(
        x_hat=jnp.where(is_text, kept.x_hat, of_image.x_hat), t=jnp.where(is_text[:, 0, 0, 0], kept.t, of_image.t)
    )
    return jnp.where(is_text, made, image), frames


class _Method(NamedTuple):
    """What is compiled: all that changes the program. Strengths and times are arguments of it."""

    sampler: str
    repeats: Repeats
    guides: bool
    projects: bool
    chooses: bool  # the canvas says by its own marker what it is
    hides_type: bool  # guidance toward a modality


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class _Batch:
    """The canvases to make, split over devices by their first axis."""

    index: Int[AnyArray, " batch"]
    modality: Int[AnyArray, " batch"]
    label: Int[AnyArray, " batch"]
    context: Context | None
    known: Known
    grid: Float[AnyArray, "batch steps_plus_one"]


def _make_batch(
    denoiser: Denoiser,
    settings: SamplingConfig,
    choice: ModalityChoice,
    given: KnownPixels | None,
    trajectory: Sequence[int],
    index: Int[np.ndarray, " batch"],
    modality: Int[np.ndarray, " batch"],
    label: Int[np.ndarray, " batch"],
    context: Context | None,
    key: jax.Array,
) -> tuple[jax.Array, Frames]:
    config, codec = denoiser.config, denoiser.codec
    size = config.model.canvas_size
    method = _Method(
        sampler=settings.sampler,
        repeats=Repeats(settings.repeats, settings.stretch) if given and settings.repeats > 1 else ONCE,
        guides=settings.guidance != 1,
        projects=settings.project_from < 1,
        chooses=choice == "any" and codec.marker and not config.diffusion.marker_first,
        hides_type=config.training.type_dropout > 0,
    )
    canvas = np.broadcast_to(
        given.canvas if given else np.zeros((size, size, 3), np.uint8), (len(index), size, size, 3)
    )
    is_told = choice != "any" or config.diffusion.marker_first > 0
    mask = np.broadcast_to(codec.marker_pixels & is_told | (given.known if given else False), canvas.shape[:-1])
    # A canvas that chooses for itself goes the way of text, whose colours have to be met more closely.
    paced_as = np.full_like(modality, TEXT) if method.chooses and not config.model.uses_condition else modality
    batch = _Batch(
        index=index,
        modality=modality,
        label=label,
        context=context,
        known=Known(canvas=to_float(codec.mark(canvas, modality)), mask=mask),
        grid=time_grids(settings.grid, paced_as, settings.steps, config.diffusion.noise_scale).T,
    )
    batch = jax.device_put(batch, batch_sharding(denoiser.mesh))
    numbers = {name: getattr(settings, name) for name in ("churn", "asymmetry", "guidance", "project_from")}
    numbers |= {"project_strength": settings.project_strength, "guidance_interval": settings.guidance_interval}
    frames = np.array(trajectory, np.int32)
    return _sample(denoiser.model, codec, config, method, denoiser.params, key, numbers, frames, batch)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sample(
    model: JiT,
    codec: CanvasCodec,
    config: Config,
    method: _Method,
    params: Params,
    key: jax.Array,
    numbers: dict[str, Any],
    frames: Int[Array, " frames"],
    batch: _Batch,
) -> tuple[Array, Frames]:
    noise_scale = config.diffusion.noise_scale
    conditions = {"type_id": type_condition(config.model, batch.modality), "label": batch.label}
    conditions |= {"modality": batch.modality, "context": batch.context}

    def network(z, t, previous, under):
        type_id, label, context = under["type_id"], under["label"], under["context"]
        z = marker_first(config, codec, z, under["modality"])
        return denoise(model, params, z, t, type_id, label, context=context, previous=previous)

    def is_text(x_hat):
        return (codec.decode_modality(x_hat)[0] if method.chooses else batch.modality) == TEXT

    def predict(z, t, previous):
        return network(z, t, previous, conditions)

    if method.guides:
        scale, interval = numbers["guidance"], numbers["guidance_interval"]
        predict = guide(network, conditions, _hidden(conditions, method), scale=scale, interval=interval)
    if method.projects:
        start, strength = numbers["project_from"], numbers["project_strength"]
        predict = project(predict, codec, is_text, noise_scale=noise_scale, start=start, strength=strength)
    return sample(
        keep_known(predict, batch.known),
        jax.vmap(lambda i: jax.random.fold_in(key, 2 * i))(batch.index),
        batch.grid.T,
        (config.model.canvas_size, config.model.canvas_size, 3),
        sampler=method.sampler,
        noise_scale=noise_scale,
        churn=numbers["churn"],
        asymmetry=numbers["asymmetry"],
        repeats=method.repeats,
        frames=frames,
    )


def _hidden(conditions: dict[str, Any], method: _Method) -> dict[str, Any]:
    """What guidance leads away from: the same without the prompt of a canvas, or its label, or its type.

    The first of them that it has, as training hides each by itself.
    """
    type_id, label, context = conditions["type_id"], conditions["label"], conditions["context"]
    keeps_label = jnp.zeros(label.shape, bool)
    if context is not None:
        keeps_label = jnp.any(context.present, axis=1)
        context = context._replace(present=jnp.zeros_like(context.present))
    if method.hides_type:
        type_id = jnp.where(keeps_label | (label != NO_LABEL), type_id, NO_TYPE)
    return conditions | {"type_id": type_id, "label": jnp.where(keeps_label, label, NO_LABEL), "context": context}

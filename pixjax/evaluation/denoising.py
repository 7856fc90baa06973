"""Denoising curves, from almost all noise to almost none: error and token accuracy by time and modality."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from pixjax.codec import TEXT, CanvasCodec, Modality, to_float
from pixjax.diffusion import denoising_loss, noisy
from pixjax.errors import InputError
from pixjax.models import Prediction
from pixjax.training.metrics import add_up, weighted

PredictTagged = Callable[
    [Float[Array, "batch height width 3"], Float[Array, " batch"], Int[Array, " batch"]], Prediction
]

# Fine towards the data, where a color code is decided.
TIMES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)


def denoising_curves(
    predict_fn: PredictTagged,
    codec: CanvasCodec,
    canvases: UInt8[np.ndarray, "n height width 3"],
    modality: Int[np.ndarray, " n"],
    loss_mask: Bool[np.ndarray, "n height width"],
    *,
    times: Sequence[float] = TIMES,
    noise_scale: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    sharding: jax.sharding.Sharding | None = None,
    done: Callable[[int], None] = lambda evaluations: None,
) -> dict[str, Float[np.ndarray, " times"]]:
    """Denoise each canvas from each time, once.

    The noise of canvas i is a function of (seed, i) alone, the same at every time: curves are smooth, and do not depend
    on `batch_size` but for rounding.

    Args:
      predict_fn: (z, t, modality) to a `Prediction`, jittable; modality (TEXT or IMAGE) is for a type condition. Text
        is what its `log_probs` read where there are any, and else what the nearest colours say. Give a
        `jax.tree_util.Partial` of a function and its parameters, so that these are not compiled in.
      loss_mask: the pixels, and with them the tokens, that count.
      times: in [0, 1), 0 is noise.
      sharding: of a batch over devices, which `batch_size` has to divide by; None for one device.
      done: told after each batch how often a canvas was denoised in it; what it raises ends the measurement.

    Returns:
      A value for each time, in order: `t`; `x_mse/text` and `x_mse/image`, the mean squared error on [-1, 1] of the
      mean canvas; `token_accuracy/text`, over all tokens that count; `exact_canvases/text`, the share of canvases
      with every such token right. What there was no canvas for is left out.

    Raises:
      InputError: no canvases, shapes that do not fit, or a time outside [0, 1).
    """
    grid = np.asarray(times, np.float32)
    if grid.ndim != 1 or not grid.size or not (grid.min() >= 0 and grid.max() < 1):
        raise InputError(f"times {times} do not fit: give one or more in [0, 1), where 0 is noise")
    if not len(canvases) or modality.shape != canvases.shape[:1] or loss_mask.shape != canvases.shape[:3]:
        raise InputError(
            f"canvases {canvases.shape}, modality {modality.shape} and loss_mask {loss_mask.shape} do not fit: "
            "give [n, height, width, 3], [n] and [n, height, width], n at least 1"
        )
    function = predict_fn if isinstance(predict_fn, jax.tree_util.Partial) else jax.tree_util.Partial(predict_fn)
    sums = []
    for start in range(0, len(canvases), batch_size):
        index = np.arange(start, start + batch_size)
        here = np.minimum(index, len(canvases) - 1)  # beyond the last: computed to keep one shape, and not counted
        batch = (index, index < len(canvases), canvases[here], modality[here], loss_mask[here])
        batch = jax.device_put(batch, sharding)
        sums.append(jax.device_get(_sums(codec, function, grid, noise_scale, jax.random.key(seed), *batch)))
        done(batch_size * len(grid))
    totals = add_up({}, sums)
    curves = {name: total[:, 0] / total[:, 1] for name, total in totals.items() if total[:, 1].all()}
    return {"t": np.asarray(times, np.float64), **curves}


@jax.jit(static_argnums=0)
def _sums(codec: CanvasCodec, predict_fn, times, noise_scale, key, index, real, canvases, modality, mask):
    """The sums and counts of every metric, each [times, 2], over one batch."""
    x = to_float(canvases)
    noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), x.shape[1:]))(index)
    ids, _ = codec.decode_ids(x)
    counted = mask.reshape(len(x), -1)[:, jnp.asarray(codec.cell_index[:, 0])]
    tokens = jnp.sum(counted, axis=1)
    is_text = (modality == TEXT) & real

    def at(time):
        t = jnp.full(len(x), time)
        x_hat, log_probs = predict_fn(noisy(x, noise, t, noise_scale), t, modality)
        found = codec.decode_ids(x_hat)[0] if log_probs is None else jnp.argmax(log_probs, axis=-1)
        _, mse = denoising_loss(x_hat, x, t, mask, kind="x", t_eps=0.0)
        correct = jnp.sum((found == ids) & counted, axis=1)
        sums = {f"x_mse/{kind}": weighted(mse, ((modality == kind) & real).astype(jnp.float32)) for kind in Modality}
        sums["token_accuracy/text"] = weighted(correct / jnp.maximum(tokens, 1), is_text * tokens)
        exact = (correct == tokens).astype(jnp.float32)
        sums["exact_canvases/text"] = weighted(exact, (is_text & (tokens > 0)).astype(jnp.float32))
        return sums

    return jax.lax.map(at, times)

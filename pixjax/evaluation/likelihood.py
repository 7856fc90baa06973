"""How well a trained model predicts canvases it never saw: bits per character, per token and per dimension.

One pass gives the bound for every endpoint of a grid; which endpoint counts is chosen on validation canvases.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.diffusion import matched_filter, reading_loss
from pixjax.diffusion.path import per_canvas
from pixjax.errors import InputError
from pixjax.evaluation.bound import Bound, variational_bound
from pixjax.evaluation.reconstruction import (
    counted_cells,
    image_reconstruction,
    text_reconstruction,
    unigram_log_prior,
)
from pixjax.evaluation.restore import Denoiser
from pixjax.models import NO_LABEL, denoise, predict, type_condition
from pixjax.training.mesh import batch_sharding

LOG_SNR_MIN = -10.0
# From where no code can be read to where all can: the nearest colour is right above 3.5 for 27 letters, 13 for base256.
ENDPOINTS = (-4.0, -2.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0)
BINS = 48  # of log-SNR, to be plotted

Canvases = tuple[UInt8[np.ndarray, "n height width 3"], Bool[np.ndarray, "n height width"]]


def evaluate_likelihood(
    denoiser: Denoiser,
    test: Canvases,
    modality: int,
    *,
    validation: Canvases,
    num_times: int = 32,
    endpoints: Sequence[float] = ENDPOINTS,
    batch_size: int = 0,
    seed: int = 0,
    done: Callable[[int], None] = lambda evaluations: None,
) -> dict[str, Any]:
    """An upper bound on the bits that canvases of one modality take, without labels and context.

    Args:
      test: canvases and their loss masks, on which the bound is measured. The marker is not counted: it is given, and
        so are PAD and the number of tokens before it.
      modality: TEXT or IMAGE, of all of them.
      validation: others, on which the endpoint is chosen, and the unigram prior counted.
      num_times: noisy canvases that the network denoises for each canvas.
      endpoints: log-SNRs, ascending, at which the path may end.
      batch_size: canvases denoised at once; 0 is `evaluation.batch_size` of the config.
      done: told after each batch how often a canvas was denoised in it; what it raises ends the measurement.

    Returns:
      Figures in `bits_per_canvas`, `bits_per_dim` and, for text, `bits_per_token` and `bits_per_char`, each with a
      standard error over canvases in `..._stderr`, and `kl`, `diffusion` and `reconstruction`, their shares of
      `bits_per_canvas`:
      `network`: the network alone, up to `log_snr_max`, where a softmax over all legal colours (or levels) decodes;
        that of a codebook head is its own.
      `switched` (text): the network up to `log_snr_switch`, the matched filter with a unigram prior above it.
      At the top level stand the figures of `network` for images and with a codebook head (which has the matched filter
      in it), and of `switched` for other text; the counts `canvases`,
      `dims`, `tokens` and `characters`; `endpoints`, the figure of each in `unit` (`bits_per_token` or `bits_per_dim`);
      and `contributions`, to be integrated over log-SNR, in the same unit per nat of it, None where nothing was drawn.

    Raises:
      InputError: fewer than two canvases, another size, a modality that the model was not trained on, nothing to count,
        or endpoints that do not ascend.
    """
    endpoints = tuple(float(end) for end in endpoints)
    if not endpoints or list(endpoints) != sorted({LOG_SNR_MIN, *endpoints})[1:]:
        raise InputError(f"endpoints={endpoints} are no range of log-SNR: give values above {LOG_SNR_MIN}, ascending")
    if num_times < 1:
        raise InputError(f"num_times={num_times} is too few: give 1 or more")
    if modality not in denoiser.modalities:
        raise InputError(f"modality={modality} is not what this model was trained on: {sorted(denoiser.modalities)}")
    codec = denoiser.codec
    test, validation = _counted(codec, "test", *test), _counted(codec, "validation", *validation)
    log_prior = unigram_log_prior(codec, *validation) if modality == TEXT else None
    measure = functools.partial(
        _measure,
        denoiser,
        modality=modality,
        log_prior=log_prior,
        endpoints=endpoints,
        num_times=num_times,
        batch_size=batch_size,
        seed=seed,
        done=done,
    )
    choosing, measured = measure(*validation), measure(*test)

    counts = _counts(codec, *test, modality)
    unit = "token" if modality == TEXT else "dim"
    scale = 1 / counts[f"{unit}s"].sum() / np.log(2)  # from a sum of nats over canvases
    figures = {}
    table = {"log_snr": list(endpoints)}
    for name, limit in (("network", "log_snr_max"), ("switched", "log_snr_switch"))[: 1 + (modality == TEXT)]:
        chosen = int(np.argmin(choosing[name].total.mean(axis=0)))
        figures[name] = {limit: endpoints[chosen]} | _figures(measured[name], chosen, counts)
        table[name] = (measured[name].total.sum(axis=0) * scale).tolist()
    curves = {name: bound for name, bound in measured.items() if name != "switched"}  # which has no samples of its own
    headline = "network" if modality != TEXT or denoiser.config.model.codebook_head else "switched"
    return {
        **{name: value for name, value in figures[headline].items() if "bits" in name},
        **figures,
        **{name: round(float(count.sum())) for name, count in counts.items()},
        "num_times": num_times,
        "log_snr_min": LOG_SNR_MIN,
        "unit": f"bits_per_{unit}",
        "endpoints": table,
        "contributions": _contributions(curves, scale * len(test[0])),
    }


def _counted(codec: CanvasCodec, name: str, canvases, mask) -> Canvases:
    """The canvases, and the mask without the marker."""
    shape = (len(canvases), codec.canvas_size, codec.canvas_size)
    if canvases.shape != (*shape, 3) or mask.shape != shape or canvases.dtype != np.uint8:
        raise InputError(
            f"{name} canvases {canvases.shape} of {canvases.dtype} and masks {mask.shape} do not fit: "
            f"give uint8 {(*shape, 3)} and {shape}"
        )
    if len(canvases) < 2:
        raise InputError(f"{len(canvases)} {name} canvas(es) have no standard error: give at least 2")
    is_marker = np.any(codec.mark(canvases[:1], TEXT) != codec.mark(canvases[:1], IMAGE), axis=-1)
    mask = mask & ~is_marker
    if not mask.any():
        raise InputError(f"the masks of the {name} canvases count no pixel: give canvases that hold something")
    return canvases, mask


def _measure(
    denoiser: Denoiser,
    canvases,
    mask,
    modality: int,
    log_prior,
    endpoints,
    num_times: int,
    batch_size: int,
    seed: int,
    done: Callable[[int], None],
) -> dict[str, Bound]:
    """The bounds of all canvases, float64 in NumPy, from batches of one shape."""
    devices = denoiser.mesh.size
    batch = -(-(batch_size or denoiser.config.evaluation.batch_size) // devices) * devices
    parts = []
    for number, start in enumerate(range(0, len(canvases), batch)):
        index = np.minimum(np.arange(start, start + batch), len(canvases) - 1)  # beyond the last: computed and dropped
        inputs = jax.device_put((canvases[index], mask[index]), batch_sharding(denoiser.mesh))
        key = jax.random.fold_in(jax.random.key(seed), number)
        made = _bounds(
            denoiser.model, denoiser.config, denoiser.codec, modality, endpoints, num_times,
            denoiser.params, log_prior, key, min(batch, len(canvases) - start), *inputs,
        )  # fmt: skip
        parts.append(jax.tree.map(lambda v, start=start: np.asarray(v, np.float64)[: len(canvases) - start], made))
        reads = len(endpoints) if modality == TEXT and denoiser.config.model.codebook_head else 0
        done(batch * (num_times + reads))  # the head also decodes at each end of the path
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _bounds(
    model,
    config,
    codec: CanvasCodec,
    modality: int,
    endpoints,
    num_times: int,
    params,
    log_prior,
    key,
    counted,
    canvas,
    mask,
) -> dict[str, Bound]:
    type_id = type_condition(config.model, jnp.full(len(canvas), modality, jnp.int32))
    label = jnp.full(len(canvas), NO_LABEL, jnp.int32)
    noise_scale = config.diffusion.noise_scale

    def network(z, t):
        # What is known of x may be used: no colour lies outside, and clipping brings x̂ nearer to all that lie inside.
        return jnp.clip(denoise(model, params, z, t, type_id, label), -1.0, 1.0)

    def read(x, mask, y, sigma):
        """The codebook head as the decoder at the end of the path: -log p(ids | y), each cell by itself."""
        t = noise_scale / (noise_scale + sigma)
        log_probs = cast(jax.Array, predict(model, params, per_canvas(t) * y, t, type_id, label).log_probs)
        counted = counted_cells(codec, mask)
        return reading_loss(log_probs, codec.decode_ids(x)[0], counted) * jnp.sum(counted, axis=1)

    bound = functools.partial(
        variational_bound,
        x=to_float(canvas),
        mask=mask,
        noise_scale=noise_scale,
        log_snr_min=LOG_SNR_MIN,
        endpoints=endpoints,
        num_times=num_times,
        key=key,
        counted=counted,
    )
    if modality != TEXT:
        return {"network": bound(network, reconstruct=image_reconstruction())}
    alone = bound(network, reconstruct=read if config.model.codebook_head else text_reconstruction(codec))
    filtered = bound(matched_filter(codec, noise_scale, log_prior), reconstruct=text_reconstruction(codec, log_prior))
    # From its endpoint on the matched filter goes on, which is what its decoder there stands for: `reconstruction.py`.
    switched = Bound(
        kl=alone.kl,
        log_snr=alone.log_snr,
        contributions=alone.contributions,
        reconstruction=filtered.reconstruction,
        endpoints=endpoints,
    )
    return {"network": alone, "switched": switched, "matched_filter": filtered}


def _counts(codec: CanvasCodec, canvases, mask, modality: int) -> dict[str, Float[np.ndarray, " n"]]:
    """What there is of each unit on each canvas."""
    counts = {"canvases": np.ones(len(canvases)), "dims": 3.0 * mask.sum(axis=(1, 2))}
    if modality != TEXT:
        return counts
    counted = counted_cells(codec, mask)
    tokens = counted.sum(axis=1).astype(float)
    # Canvases part words and letters of several bytes, and do not follow one another: each character counts where it
    # begins, and all of them are spread over the tokens. An EOS is no character.
    characters = codec.count_characters(codec.nearest_ids(canvases)[counted])
    return counts | {"tokens": tokens, "characters": tokens * (characters / tokens.sum())}


def _figures(bound: Bound, end: int, counts: dict[str, Float[np.ndarray, " n"]]) -> dict[str, float]:
    terms = {
        "kl": bound.kl / np.log(2),
        "diffusion": bound.diffusion[:, end] / np.log(2),
        "reconstruction": bound.reconstruction[:, end] / np.log(2),
    }
    figures = {name: float(np.mean(term)) for name, term in terms.items()}
    bits = sum(terms.values())
    for name, unit in (("canvases", "canvas"), ("dims", "dim"), ("tokens", "token"), ("characters", "char")):
        if name in counts and counts[name].sum():
            figures |= _ratio(f"bits_per_{unit}", bits, counts[name])
    return figures


def _ratio(name: str, values: Float[np.ndarray, " n"], counts: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Sum over sum, and its standard error to first order (Cochran 1977, 6.4), as canvases differ in length."""
    ratio = values.sum() / counts.sum()
    residual = values - ratio * counts
    n = len(values)
    stderr = np.sqrt(n / (n - 1) * np.sum(residual**2)) / counts.sum()
    return {name: float(ratio), f"{name}_stderr": float(stderr)}


def _contributions(curves: dict[str, Bound], scale: float) -> dict[str, list[float | None]]:
    """The mean integrand of each bin of log-SNR, times `scale`."""
    result: dict[str, list[float | None]] = {}
    for name, bound in curves.items():
        edges = np.linspace(LOG_SNR_MIN, bound.endpoints[-1], BINS + 1)
        width = (edges[-1] - edges[0]) / bound.log_snr.shape[1]  # of log-SNR that a sample stands for
        drawn, _ = np.histogram(bound.log_snr, edges)
        total, _ = np.histogram(bound.log_snr, edges, weights=np.asarray(bound.contributions) / width)
        result["log_snr"] = [float(centre) for centre in (edges[:-1] + edges[1:]) / 2]
        result[name] = [float(s / n * scale) if n else None for s, n in zip(total, drawn, strict=True)]
    return result

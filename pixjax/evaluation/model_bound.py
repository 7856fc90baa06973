"""The terms of the bound of a trained model, measured on canvases in batches of one shape.

The last term is of exact decoders: of text over the legal colours, of images over 256 levels.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, CanvasCodec, to_float
from pixjax.diffusion import matched_filter, reading_loss
from pixjax.diffusion.bound import Bound, Draws, Proposal, Reconstruct, draw, prior_kl, reconstruction_at
from pixjax.diffusion.path import MIN_TIME, per_canvas
from pixjax.diffusion.posterior import counted_cells, each_cell
from pixjax.models import NO_LABEL, denoise, predict, tell
from pixjax.training.mesh import batch_sharding


def text_reconstruction(codec: CanvasCodec, log_prior: Float[Array, " vocab"] | None = None) -> Reconstruct:
    """-log p(ids | y): a softmax over the legal colours of each counted cell, weighted by a unigram prior.

    For text there is more, the matched filter of `diffusion/posterior.py`. A path that ends at some log-SNR with the
    decoder of a prior, and one that goes on from there with the matched filter of the same prior, have the same bound:
    both are -log p(id | z) for independent tokens, as E[-log p(id|z)] is ½ ∫ e^λ E‖x - x̂‖² dλ from there to infinity
    (Guo, Shamai and Verdú 2005, for the model's own x̂). So where the path ends is where the matched filter takes over
    from the network.
    """

    def reconstruct(x, mask, y, sigma):
        ids = codec.decode_ids(x)[0]
        counted = counted_cells(codec, mask)

        def nats(log_posterior, ids_B):
            return -jnp.take_along_axis(log_posterior, ids_B[:, None], axis=-1)[:, 0]

        return jnp.sum(jnp.where(counted, each_cell(codec, nats, y, sigma, log_prior, ids), 0.0), axis=1)

    return reconstruct


def image_reconstruction() -> Reconstruct:
    """-log p(u | y): a softmax over the 256 levels of each channel of each counted pixel."""
    levels = to_float(jnp.arange(256, dtype=jnp.uint8))

    def reconstruct(x, mask, y, sigma):
        def nats(row):
            x_BW3, y_BW3 = row
            scaled = (y_BW3[..., None] - levels[None, None, None]) / sigma[:, None, None, None]
            log_all = jax.nn.logsumexp(-0.5 * jnp.square(scaled), axis=-1)
            return jnp.sum(0.5 * jnp.square((y_BW3 - x_BW3) / sigma[:, None, None]) + log_all, axis=-1)

        rows = jax.lax.map(nats, (jnp.moveaxis(x, 1, 0), jnp.moveaxis(y, 1, 0)))  # 256 times a canvas is too much
        return jnp.sum(jnp.where(mask, jnp.moveaxis(rows, 0, 1), 0.0), axis=(1, 2))

    return reconstruct


def unigram_log_prior(
    codec: CanvasCodec, canvases: UInt8[np.ndarray, "n height width 3"], mask: Bool[np.ndarray, "n height width"]
) -> Float[np.ndarray, " vocab"]:
    """How frequent each id is on text canvases, in nats; half a token is added to each (Krichevsky and Trofimov)."""
    ids = codec.nearest_ids(canvases)[counted_cells(codec, mask)]
    counts = np.bincount(ids, minlength=codec.vocab_size) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)


LOG_SNR_MIN = -10.0

# Log-SNRs to the shares of (what is known without the network, the network) in x̂: of each, or the same for all.
Shares = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """What was found on some canvases, float64 in NumPy; each decoder at each of its endpoints, on the first few."""

    kl: Float[np.ndarray, " n"]
    draws: Draws
    reconstruction: dict[str, Float[np.ndarray, "tried endpoints"]]

    def bound(self, name: str, shares: Shares, endpoints: tuple[float, ...]) -> Bound:
        """The bound of a figure with the shares of (what is known, the network) at each log-SNR and its own decoder."""
        draws = self.draws
        return Bound(
            kl=self.kl,
            log_snr=draws.log_snr,
            contributions=draws.integrand(shares(draws.log_snr)) * draws.weight,
            reconstruction=self.reconstruction[name],
            endpoints=endpoints,
        )


def figures_of(denoiser: Denoiser, modality: int) -> tuple[str, ...]:
    """What is reported, the headline last."""
    is_mixed = modality != TEXT or not denoiser.config.model.codebook_head
    return ("network", "mixed") if is_mixed else ("network",)


def measure_bound(
    denoiser: Denoiser,
    canvases,
    mask,
    *,
    modality: int,
    log_prior,
    proposal: Proposal,
    ends: Mapping[str, Sequence[float]],
    num_times: int,
    batch_size: int,
    seed: int,
    done: Callable[[int], None],
    tried: int | None = None,
) -> Measured:
    """All canvases, in batches of one shape; only the first `tried` are decoded at each end of their path."""
    devices = denoiser.mesh.size
    batch = -(-(batch_size or denoiser.config.evaluation.batch_size) // devices) * devices
    tried = len(canvases) if tried is None else min(tried, len(canvases))
    passes_to_decode = _decodes_itself(denoiser.config, modality)
    static = denoiser.model, denoiser.config, denoiser.codec, modality
    drawn: list[tuple[np.ndarray, Draws]] = []
    decoded: dict[str, list[np.ndarray]] = {name: [] for name in ends}
    for number, start in enumerate(range(0, len(canvases), batch)):
        index = np.minimum(np.arange(start, start + batch), len(canvases) - 1)  # beyond the last: computed and dropped
        inputs = jax.device_put((canvases[index], mask[index]), batch_sharding(denoiser.mesh))
        draw_key, end_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        counted = min(batch, len(canvases) - start)
        made = _draws(*static, num_times, denoiser.params, log_prior, draw_key, counted, proposal, *inputs)
        drawn.append(jax.tree.map(lambda v, counted=counted: np.asarray(v, np.float64)[:counted], made))
        passes = num_times
        known: dict[tuple[float, str], np.ndarray] = {}
        for name, log_snrs in ends.items() if start < tried else ():
            decoder = _decoder(name, modality)
            for log_snr in log_snrs:
                if (log_snr, decoder) not in known:
                    nats = _decoded(*static, decoder, denoiser.params, log_prior, end_key, log_snr, *inputs)
                    known[log_snr, decoder] = np.asarray(nats, np.float64)[: min(counted, tried - start)]
                    passes += passes_to_decode
            decoded[name].append(np.stack([known[log_snr, decoder] for log_snr in log_snrs], axis=-1))
        done(batch * passes)
    kl, draws = jax.tree.map(lambda *arrays: np.concatenate(arrays), *drawn)
    return Measured(kl=kl, draws=draws, reconstruction={name: np.concatenate(each) for name, each in decoded.items()})


def _decodes_itself(config, modality: int) -> bool:
    """Whether the network is the decoder at the end of the path, which takes a pass."""
    return modality == TEXT and config.model.codebook_head


def _decoder(figure: str, modality: int) -> str:
    """Figures whose decoder is the same share what it found."""
    return "levels" if modality != TEXT else figure


def _network(model, config, codec: CanvasCodec, modality: int, params, num: int):
    """(z, t) to what is predicted of canvases that are told to be of a modality, without labels."""
    of_all, label = jnp.full(num, modality, jnp.int32), jnp.full(num, NO_LABEL, jnp.int32)

    def ask(function, z, t):
        z, type_id = tell(config, codec, z, of_all)
        return function(model, params, z, t, type_id, label)

    return ask


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _draws(
    model,
    config,
    codec: CanvasCodec,
    modality: int,
    num_times: int,
    params,
    log_prior,
    key,
    counted,
    proposal,
    canvas,
    mask,
) -> tuple[jax.Array, Draws]:
    """The prior's divergence, and the draws of (what is known without the network, the network)."""
    noise_scale, x = config.diffusion.noise_scale, to_float(canvas)
    ask = _network(model, config, codec, modality, params, len(canvas))

    # What is known of x may be used: no colour lies outside, and clipping brings x̂ nearer to all that lie inside.
    def network(z, t):
        return jnp.clip(ask(denoise, z, t), -1.0, 1.0)

    def noisy_canvas(z, t):
        return jnp.clip(z / per_canvas(jnp.maximum(t, MIN_TIME)), -1.0, 1.0)

    known = matched_filter(codec, noise_scale, log_prior) if modality == TEXT else noisy_canvas
    draws = draw(
        (known, network), x, mask, proposal, noise_scale=noise_scale, num_times=num_times, key=key, counted=counted
    )
    return prior_kl(x, mask, LOG_SNR_MIN), draws


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _decoded(
    model, config, codec: CanvasCodec, modality: int, decoder: str, params, log_prior, key, log_snr, canvas, mask
):
    """The nats of each canvas at the end of a path."""
    noise_scale = config.diffusion.noise_scale
    ask = _network(model, config, codec, modality, params, len(canvas))

    def read(x, mask, y, sigma):
        """The text head as the decoder at the end of the path: -log p(ids | y), each cell by itself."""
        t = noise_scale / (noise_scale + sigma)
        log_probs = cast(jax.Array, ask(predict, per_canvas(t) * y, t).log_probs)
        counted = counted_cells(codec, mask)
        return reading_loss(log_probs, codec.decode_ids(x)[0], counted) * jnp.sum(counted, axis=1)

    reconstruct: Reconstruct
    if decoder == "levels":
        reconstruct = image_reconstruction()
    elif _decodes_itself(config, modality):
        reconstruct = read
    else:
        # From the end of the path on the matched filter may go on, which is what its decoder there stands for:
        # `text_reconstruction`.
        reconstruct = text_reconstruction(codec, log_prior if decoder == "mixed" else None)
    return reconstruction_at(log_snr, reconstruct, to_float(canvas), mask, key)

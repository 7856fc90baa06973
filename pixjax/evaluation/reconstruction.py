"""Which clean canvas a barely noisy one is: exact decoders of text (legal colours) and of images (256 levels).

For text there is more, the matched filter of `models/codebook.py`. A path that ends at some log-SNR with the decoder
of a prior, and one that goes on from there with the matched filter of the same prior, have the same bound: both are
-log p(id | z) for independent tokens, as E[-log p(id|z)] is ½ ∫ e^λ E‖x - x̂‖² dλ from there to infinity (Guo, Shamai
and Verdú 2005, for the model's own x̂). So where the path ends is where the matched filter takes over from the network.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from pixjax.codec import CanvasCodec, to_float
from pixjax.diffusion.bound import Reconstruct
from pixjax.diffusion.legal_colors import counted_cells, each_cell


def text_reconstruction(codec: CanvasCodec, log_prior: Float[Array, " vocab"] | None = None) -> Reconstruct:
    """-log p(ids | y): a softmax over the legal colours of each counted cell, weighted by a unigram prior."""

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

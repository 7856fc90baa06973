"""Which clean canvas a barely noisy one is: exact decoders of text (legal colours) and of images (256 levels).

For text there is more: the mean legal colour of a cell given its noisy colour, the matched filter, is the best
prediction that looks at one cell alone. A path that ends at some log-SNR with the decoder of a prior, and one that goes
on from there with the matched filter of the same prior, have the same bound: both are -log p(id | z) for independent
tokens, as E[-log p(id|z)] is ½ ∫ e^λ E‖x - x̂‖² dλ from there to infinity (Guo, Shamai and Verdú 2005, for the model's
own x̂). So where the path ends is where the matched filter takes over from the network.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from pixjax.codec import CanvasCodec, to_float
from pixjax.codec.scale import Array as AnyArray
from pixjax.diffusion.path import Denoise, per_canvas
from pixjax.evaluation.bound import Reconstruct

_POSTERIORS = 2**24  # probabilities held at once: a vocabulary times the cells of a batch may be far more


def text_reconstruction(codec: CanvasCodec, log_prior: Float[Array, " vocab"] | None = None) -> Reconstruct:
    """-log p(ids | y): a softmax over the legal colours of each counted cell, weighted by a unigram prior."""

    def reconstruct(x, mask, y, sigma):
        ids = codec.decode_ids(x)[0]
        counted = counted_cells(codec, mask)

        def nats(log_posterior, ids_B):
            return -jnp.take_along_axis(log_posterior, ids_B[:, None], axis=-1)[:, 0]

        return jnp.sum(jnp.where(counted, _each_cell(codec, nats, y, sigma, log_prior, ids), 0.0), axis=1)

    return reconstruct


def image_reconstruction() -> Reconstruct:
    """-log p(u | y): a softmax over the 256 levels of each channel of each counted pixel."""
    levels = to_float(jnp.arange(256, dtype=jnp.uint8))

    def reconstruct(x, mask, y, sigma):
        def nats(row):
            x_BW3, y_BW3 = row
            scaled = (y_BW3[..., None] - levels) / sigma[:, None, None, None]
            log_all = jax.nn.logsumexp(-0.5 * jnp.square(scaled), axis=-1)
            return jnp.sum(0.5 * jnp.square((y_BW3 - x_BW3) / sigma[:, None, None]) + log_all, axis=-1)

        rows = jax.lax.map(nats, (jnp.moveaxis(x, 1, 0), jnp.moveaxis(y, 1, 0)))  # 256 times a canvas is too much
        return jnp.sum(jnp.where(mask, jnp.moveaxis(rows, 0, 1), 0.0), axis=(1, 2))

    return reconstruct


def matched_filter(codec: CanvasCodec, noise_scale: float, log_prior: Float[Array, " vocab"] | None = None) -> Denoise:
    """The mean legal colour of each cell given its noisy pixels and a unigram prior; black where no cell is."""
    colors = jnp.asarray(codec.colors.reshape(codec.vocab_size, -1))

    def denoise(z, t):
        sigma = (1 - t) * noise_scale / t

        def mean_color(log_posterior):
            return jnp.exp(log_posterior) @ colors

        means = _each_cell(codec, mean_color, z / per_canvas(t), sigma, log_prior)
        means = means.reshape(len(z), *codec.cell_index.shape, 3)
        blank = jnp.full((len(z), codec.canvas_size**2, 3), -1.0)
        return blank.at[:, codec.cell_index].set(means).reshape(z.shape)

    return denoise


def _each_cell(codec: CanvasCodec, summarise, y, sigma, log_prior, *per_cell) -> Float[Array, "batch capacity ..."]:
    """`summarise` of the log-posterior [batch, vocab] of every cell (and of what goes with the cell), a few at once."""

    def one(inputs):
        cell, *rest = inputs
        return summarise(codec.color_code.decode_soft(cell, sigma, log_prior), *rest)

    cells = y.reshape(len(y), -1, 3)[:, codec.cell_index]
    inputs = [jnp.moveaxis(values, 1, 0) for values in (cells, *per_cell)]
    together = max(1, min(codec.capacity, _POSTERIORS // (len(y) * codec.vocab_size)))
    return jnp.moveaxis(jax.lax.map(one, inputs, batch_size=together), 0, 1)


def counted_cells(codec: CanvasCodec, mask: Bool[AnyArray, "batch height width"]) -> Bool[AnyArray, "batch capacity"]:
    """The cells whose pixels a mask counts: all of a cell's, or none. NumPy or JAX."""
    return mask.reshape(len(mask), -1)[:, codec.cell_index[:, 0]]


def unigram_log_prior(
    codec: CanvasCodec, canvases: UInt8[np.ndarray, "n height width 3"], mask: Bool[np.ndarray, "n height width"]
) -> Float[np.ndarray, " vocab"]:
    """How frequent each id is on text canvases, in nats; half a token is added to each (Krichevsky and Trofimov)."""
    ids = codec.nearest_ids(canvases)[counted_cells(codec, mask)]
    counts = np.bincount(ids, minlength=codec.vocab_size) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)

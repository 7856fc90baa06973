"""Bits of text by decision order: exact letter by letter, and else a bound, of all blocks from the same passes.

    -log p(x) <= Σ_b { KL_b + ½ ∫ e^λ E‖x_b - x̂_b(y_b at λ, x before b)‖² dλ + E[-log p(x_b | y_b at the end)] }

Each block has a log-SNR of its own, drawn apart from the others', so that one pass looks at all of them. With blocks of
one cell the three terms are -log p of the next token whatever the noise is, as its logits do not see the cell itself:
then nothing is drawn.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from pixjax.codec import TEXT, to_float
from pixjax.config import Config
from pixjax.diffusion import WHOLE, DecisionOrder, noisy, noisy_blocks
from pixjax.diffusion.bound import Bound, Proposal, even, fitted, prior_kl
from pixjax.diffusion.path import time_at
from pixjax.diffusion.posterior import counted_cells
from pixjax.models.condition import tell
from pixjax.models.jit import NO_LABEL, JiT, Params, Written, predict

LOG_SNR_MIN = -10.0
BATCH = 32

Canvases = UInt8[np.ndarray, "n height width 3"]
Masks = Bool[np.ndarray, "n height width"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextReader:
    """A model that reads text, decided in one order; equal for equal models, so that each is compiled once."""

    model: JiT
    config: Config
    order: DecisionOrder | None  # None: the whole canvas

    @classmethod
    def named(cls, model: JiT, config: Config, name: str) -> "TextReader":
        codec = model.palette.codec  # type: ignore[union-attr]
        return cls(model=model, config=config, order=DecisionOrder.named(name, codec, config.model.patch))

    @property
    def name(self) -> str:
        return WHOLE if self.order is None else str(self.order.block)

    @property
    def codec(self):
        return self.model.palette.codec  # type: ignore[union-attr]

    @property
    def num_blocks(self) -> int:
        return 1 if self.order is None else self.order.num_blocks

    @property
    def block_of_cell(self):
        return np.zeros(self.codec.capacity, int) if self.order is None else self.order.block_of_cell

    def read(self, params: Params, x, z, t_of_block):
        """The probabilities of each cell, and the mean canvas; `t_of_block` None: all is noise."""
        is_text, label = jnp.full(len(x), TEXT, jnp.int32), jnp.full(len(x), NO_LABEL, jnp.int32)
        z, type_id = tell(self.config, self.codec, z, is_text)
        if self.order is None:
            return predict(self.model, params, z, t_of_block[:, 0], type_id, label)
        cell_t = None if t_of_block is None else t_of_block[:, self.order.block_of_cell]
        written, unused = Written(x, cell_t), jnp.zeros(len(x))
        return predict(self.model, params, z, unused, type_id, label, written=written, order=self.order)

    def noised(self, x, noise, t_of_block):
        scale = self.config.diffusion.noise_scale
        if self.order is None:
            return noisy(x, noise, t_of_block[:, 0], scale)
        return noisy_blocks(x, noise, t_of_block, self.order, scale)[0]


@functools.partial(jax.jit, static_argnums=0)
def next_token_nats(reader: TextReader, params: Params, canvas):
    """-log p of each cell given those before it, [batch, cells]."""
    x = to_float(canvas)
    return _nats_of(reader, reader.read(params, x, x, None).log_probs, x)


def _nats_of(reader: TextReader, log_probs, x):
    ids = reader.codec.decode_ids(x)[0]
    return -jnp.take_along_axis(log_probs, ids[..., None], axis=-1)[..., 0]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _path(reader: TextReader, num_times: int, params: Params, proposal: Proposal, key, canvas, mask):
    """Log-SNRs and integrands [batch, times, blocks]: of the counted cells of each block, each at its own log-SNR."""
    x, scale, blocks = to_float(canvas), reader.config.diffusion.noise_scale, reader.num_blocks
    counted = counted_cells(reader.codec, mask)
    of_block = jax.nn.one_hot(reader.block_of_cell, blocks)
    place_key, noise_key = jax.random.split(key)
    offset = jax.random.uniform(place_key, (len(x), 1, blocks))
    log_snr = proposal.quantile((jnp.arange(num_times)[None, :, None] + offset) / num_times)

    def integrand(inputs):
        time_key, log_snr_BK = inputs
        t = time_at(log_snr_BK, scale)
        z = reader.noised(x, jax.random.normal(time_key, x.shape), t)
        error = jnp.square(x - reader.read(params, x, z, t).x_hat).reshape(len(x), -1, 3)
        of_cell = jnp.where(counted, error[:, reader.codec.cell_index].sum(axis=(2, 3)), 0.0)
        return 0.5 * jnp.exp(log_snr_BK) * jnp.matmul(of_cell, of_block, precision=jax.lax.Precision.HIGHEST)

    keys = jax.random.split(noise_key, num_times)
    found = jax.lax.map(integrand, (keys, jnp.moveaxis(log_snr, 1, 0)))
    return log_snr, jnp.moveaxis(found, 0, 1), prior_kl(x, mask, LOG_SNR_MIN)


@functools.partial(jax.jit, static_argnums=0)
def _end(reader: TextReader, params: Params, log_snr, key, canvas, mask):
    """The nats of each canvas where every block stands at the end of its path."""
    x = to_float(canvas)
    t = jnp.full((len(x), reader.num_blocks), time_at(log_snr, reader.config.diffusion.noise_scale))
    z = reader.noised(x, jax.random.normal(key, x.shape), t)
    nats = _nats_of(reader, reader.read(params, x, z, t).log_probs, x)
    return jnp.sum(jnp.where(counted_cells(reader.codec, mask), nats, 0.0), axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What validation canvases decide: where the path of a block ends, and where to look."""

    end: float
    proposal: Proposal


def choose(
    reader: TextReader, params: Params, canvases: Canvases, mask: Masks, *, num_times: int, endpoints, seed: int = 0
) -> Choices:
    everywhere = even(LOG_SNR_MIN, endpoints[-1])
    bound = bound_in_order(
        reader, params, canvases, mask, num_times=num_times, proposal=everywhere, endpoints=endpoints, seed=seed
    )
    end = endpoints[int(np.argmin(bound.total.mean(axis=0)))]
    width = endpoints[-1] - LOG_SNR_MIN
    integrand = bound.contributions * num_times / width * (bound.log_snr < end)
    return Choices(end=end, proposal=fitted(bound.log_snr.ravel(), integrand.ravel(), LOG_SNR_MIN, end))


def bound_in_order(
    reader: TextReader,
    params: Params,
    canvases: Canvases,
    mask: Masks,
    *,
    num_times: int,
    proposal: Proposal,
    endpoints,
    seed: int = 0,
    done: Callable[[int], None] = lambda evaluations: None,
) -> Bound:
    """The terms of each canvas, nats in float64, for every endpoint; the draws of all blocks side by side."""
    terms = []
    for number, (index, kept) in enumerate(_batches(len(canvases))):
        inputs = canvases[index], mask[index]
        path_key, end_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        log_snr, integrand, kl = _path(reader, num_times, params, proposal, path_key, *inputs)
        weight = 1 / (num_times * proposal.density(log_snr))
        ends = [_end(reader, params, np.float32(end), end_key, *inputs) for end in endpoints]
        made = kl, log_snr, integrand * weight, jnp.stack(ends, axis=-1)
        terms.append([np.asarray(term, np.float64)[:kept].reshape(kept, *term.shape[1:2], -1) for term in made])
        done(len(index) * (num_times + len(endpoints)))
    kl, log_snr, contributions, reconstruction = (np.concatenate(each) for each in zip(*terms, strict=True))
    return Bound(
        kl=kl.reshape(-1),
        log_snr=log_snr.reshape(len(kl), -1),
        contributions=contributions.reshape(len(kl), -1),
        reconstruction=reconstruction.reshape(len(kl), -1),
        endpoints=tuple(endpoints),
    )


def next_token_bits(
    reader: TextReader, params: Params, canvases: Canvases, done: Callable[[int], None] = lambda evaluations: None
) -> Float[np.ndarray, "n cells"]:
    """-log2 p of each cell of text canvases given those before it, float64; exact."""
    found = []
    for index, kept in _batches(len(canvases)):
        found.append(np.asarray(next_token_nats(reader, params, canvases[index]), np.float64)[:kept])
        done(len(index))
    return np.concatenate(found) / np.log(2)


def _batches(num: int):
    """Indices of one shape, and how many of them are new."""
    batch = min(BATCH, num)
    for start in range(0, num, batch):
        yield np.minimum(np.arange(start, start + batch), num - 1), min(batch, num - start)

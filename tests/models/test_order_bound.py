"""Bits by decision order on known distributions: every order finds the same, and the lemma holds for a cell."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import CanvasCodec, to_float
from pixjax.config import Config, ModelConfig
from pixjax.diffusion import DecisionOrder, noisy
from pixjax.diffusion.bound import prior_kl
from pixjax.diffusion.path import time_at
from pixjax.models import JiT, Palette, Prediction
from pixjax.models.order_bound import LOG_SNR_MIN, TextReader, bound_in_order, choose

SIZE = 4
CODEC = CanvasCodec(tokenizer="chars27", code="radix:3:1", canvas_size=SIZE, patch_size="1x4", marker=False)
BOOK = Palette(codec=CODEC, noise_scale=1.0, text_types=(-1,), is_input=True, is_output=True)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ExactReader(TextReader):
    """The posterior of a finite set of texts with known probabilities, in place of what the model says."""

    ids: np.ndarray  # [members, cells]
    log_p: jax.Array  # of each member
    __eq__, __hash__ = object.__eq__, object.__hash__  # it is compiled for its texts

    @classmethod
    def of(cls, ids: np.ndarray, probabilities: np.ndarray, block: int | None) -> "ExactReader":
        order = None if block is None else DecisionOrder(block, CODEC, (1, 4))
        model = JiT(ModelConfig(variant="Ti", canvas_size=SIZE, patch_size="1x4"), BOOK)
        return cls(model=model, config=Config(), order=order, ids=ids, log_p=jnp.log(jnp.asarray(probabilities)))

    def read(self, params, x, z, t_of_block):
        seen = BOOK.log_posterior(z, t_of_block[:, self.block_of_cell])  # [batch, cells, vocab]
        clean = jnp.log(jax.nn.one_hot(CODEC.decode_ids(x)[0], CODEC.vocab_size) + 1e-30)
        members = jnp.asarray(self.ids)  # [members, cells]
        cells = jnp.arange(CODEC.capacity)
        of_noisy, of_clean = (values[:, cells, members] for values in (seen, clean))  # [batch, members, cells]
        blocks = np.arange(self.num_blocks)[:, None]
        here, before = (np.float32(which) for which in (self.block_of_cell == blocks, self.block_of_cell < blocks))
        weights = jnp.einsum("bmc,kc->kbm", of_noisy, here) + jnp.einsum("bmc,kc->kbm", of_clean, before)
        of_block = jax.nn.softmax(self.log_p[None, None] + weights)
        one_hot = jax.nn.one_hot(members, CODEC.vocab_size)
        probabilities = jnp.einsum("cbm,mcv->bcv", of_block[self.block_of_cell], one_hot)
        log_probs = jnp.log(jnp.maximum(probabilities, 1e-30))
        return Prediction(BOOK.mean(log_probs), log_probs)


def bits(reader, ids):
    """Of each text, by eight canvases of it; the log-SNRs are those that the same texts were seen to need."""
    canvases = CODEC.encode_ids(np.repeat(ids, 8, axis=0))
    mask = np.ones(canvases.shape[:3], bool)
    chosen = choose(reader, {}, canvases, mask, num_times=64, endpoints=(6.0,))
    bound = bound_in_order(
        reader, {}, canvases, mask, num_times=128, proposal=chosen.proposal, endpoints=(chosen.end,), seed=1
    )
    return bound.total.reshape(len(ids), 8).mean(axis=1) / np.log(2)


@pytest.mark.parametrize("block", [1, 2, 8, None])
def test_a_finite_set_takes_log2_of_its_size_by_every_order(block):
    """Eight texts, as probable as each other: three bits, whichever cells are decided first."""
    ids = np.random.default_rng(0).integers(0, 27, (8, CODEC.capacity))
    found = bits(ExactReader.of(ids, np.full(8, 1 / 8), block), ids)
    assert found.mean() == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("block", [1, 2, 8, None])
def test_a_known_joint_distribution_has_its_entropy_by_every_order(block):
    """Three cells of two letters each, which depend on one another, and the rest blank."""
    words = np.array(list(itertools.product((0, 1), repeat=3)))
    ids = np.zeros((8, CODEC.capacity), int)
    ids[:, [0, 1, 9]] = words
    probabilities = np.array([0.3, 0.02, 0.1, 0.08, 0.05, 0.2, 0.05, 0.2])
    found = bits(ExactReader.of(ids, probabilities, block), ids)
    entropy = -(probabilities * np.log2(probabilities)).sum()
    assert (probabilities * found).sum() == pytest.approx(entropy, abs=0.1)


def test_of_one_cell_the_terms_add_up_to_the_log_probability_for_any_end():
    """The lemma, by quadrature: for logits that do not see the cell, KL + diffusion + reconstruction is
    -log softmax(logits) at its id, wherever the path ends.
    """
    codec = CanvasCodec(tokenizer="chars27", code="radix:3:1", canvas_size=1, patch_size="1", marker=False)
    book = Palette(codec=codec, noise_scale=1.0, text_types=(-1,), is_input=True, is_output=True)
    logits = jnp.asarray(np.random.default_rng(2).standard_normal(27) * 1.5, jnp.float32)
    nodes, weights = np.polynomial.hermite_e.hermegauss(14)
    noise = np.stack(np.meshgrid(nodes, nodes, nodes), axis=-1).reshape(-1, 1, 1, 3)
    weight = (weights[:, None, None] * weights[:, None] * weights).ravel() / (2 * np.pi) ** 1.5
    x = jnp.asarray(to_float(codec.encode_ids(np.array([[4]]))))

    @jax.jit
    def at(log_snr):
        """½e^λ·E‖x - x̂‖², and E[-log p]."""
        t = jnp.full(len(noise), time_at(log_snr, 1.0))
        z = noisy(jnp.broadcast_to(x, noise.shape), jnp.asarray(noise, jnp.float32), t)
        log_probs = jax.nn.log_softmax(logits[None, None] + book.log_posterior(z, t))
        squared = jnp.square(x - book.mean(log_probs)).sum(axis=(1, 2, 3))
        return 0.5 * jnp.exp(log_snr) * weight @ squared, -weight @ log_probs[:, 0, 4]

    expected = -float(jax.nn.log_softmax(logits)[4])
    kl = float(prior_kl(x, jnp.ones((1, 1, 1), bool), LOG_SNR_MIN)[0])
    for end in (-1.0, 1.0, 2.5):
        log_snrs = np.linspace(LOG_SNR_MIN, end, 81)
        integrand, decoded = (np.array(values, float) for values in zip(*map(at, log_snrs), strict=True))
        total = kl + np.trapezoid(integrand, log_snrs) + decoded[-1]
        assert total == pytest.approx(expected, abs=1e-3)

"""The bound of masked diffusion against its definition, on texts so short that every mask can be counted."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.baselines.masked_diffusion import examples, loss, score

TOKENS, VOCAB = 4, 3
TEXT = np.array([2, 0, 1, 1])
TABLE = np.random.default_rng(0).normal(size=((VOCAB + 1) ** TOKENS, TOKENS, VOCAB))  # logits of every noisy text


def predict(ids):
    return jnp.asarray(TABLE)[ids @ (VOCAB + 1) ** np.arange(TOKENS)]


def masked_sum(masked) -> float:
    """Σ -log p(x_i | z) over the masked, in NumPy."""
    logits = TABLE[np.where(masked, VOCAB, TEXT) @ (VOCAB + 1) ** np.arange(TOKENS)]
    nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(TOKENS), TEXT]
    return nats[np.asarray(masked)].sum()


MASKS = list(itertools.product([False, True], repeat=TOKENS))


@pytest.fixture(scope="module")
def bound() -> float:
    """∫ -α'/(1-α) E[Σ -log p] dt with α = 1 - t, every mask with its probability, by the midpoint rule."""
    t = (np.arange(2000) + 0.5) / 2000
    integrand = sum(t ** sum(mask) * (1 - t) ** (TOKENS - sum(mask)) * masked_sum(mask) for mask in MASKS if any(mask))
    return float(np.mean(integrand / t))


def test_the_bound_is_the_mean_over_orders_of_an_autoregressive_model(bound):
    """As arXiv 2110.02037 shows: an order reveals one character after the other, each predicted from those before."""
    total = 0.0
    for order in itertools.permutations(range(TOKENS)):
        for place, revealed in enumerate(order):
            masked = np.isin(np.arange(TOKENS), order[place:])
            others = masked & (np.arange(TOKENS) != revealed)
            logits = TABLE[np.where(masked, VOCAB, TEXT) @ (VOCAB + 1) ** np.arange(TOKENS)][revealed]
            assert masked.sum() == others.sum() + 1
            total += np.log(np.exp(logits).sum()) - logits[TEXT[revealed]]
    assert total / math.factorial(TOKENS) == pytest.approx(bound, rel=1e-5)


def test_the_score_is_the_bound_when_every_number_of_masks_is_equally_likely(bound):
    masks = np.array(MASKS[1:])
    scores = np.array(jax.jit(lambda masks: score(predict, VOCAB, jnp.tile(TEXT, (15, 1)), masks))(masks))
    of_number = [scores[masks.sum(axis=1) == number].mean() for number in range(1, TOKENS + 1)]
    assert np.mean(of_number) == pytest.approx(bound, rel=1e-5)


def test_the_training_loss_is_the_bound_of_a_token(bound):
    ids = jnp.tile(TEXT, (2048, 1))
    values = jax.jit(jax.vmap(lambda key: loss(predict, VOCAB, ids, key)))(jax.random.split(jax.random.key(0), 16))
    stderr = np.std(values) / 4
    assert stderr < 0.02 * bound / TOKENS
    assert abs(np.mean(values) - bound / TOKENS) < 4 * stderr


def test_masks_are_spread_evenly_over_their_numbers_and_places():
    made = examples(np.arange(60).reshape(15, 4), samples=8)
    masked = made.arrays["masked"]
    assert masked.shape == (120, 4)
    np.testing.assert_array_equal(made.arrays["ids"][::8], np.arange(60).reshape(15, 4))
    np.testing.assert_array_equal(np.bincount(masked.sum(axis=1)), [0, 30, 30, 30, 30])
    of_window = masked.sum(axis=1).reshape(15, 8)
    assert all((np.bincount(row, minlength=5)[1:] == 2).all() for row in of_window)
    assert np.abs(masked.mean(axis=0) - 5 / 8).max() < 0.15

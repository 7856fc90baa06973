"""The autoregressive baseline: what may influence what, and which characters its figures count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.baselines.autoregressive import next_token_nats, score, sliding_examples
from benchmarks.baselines.transformer import Shape, Transformer

TOKENS = 6


def influence(causal: bool):
    """How strongly each id, in [0, 7), acts on the logits at each place, by gradient.

    The text is the ids in order, so that an id's row of the embedding acts from one place alone; the last is the blank.
    """
    model = Transformer(Shape(vocab_size=TOKENS, length=TOKENS, width=16, depth=2, heads=2, causal=causal))
    ids = jnp.arange(TOKENS)[None]
    leaves, tree = jax.tree.flatten(jax.eval_shape(model.init, jax.random.key(0), ids)["params"])
    keys = jax.random.split(jax.random.key(1), len(leaves))  # the zeros of a fresh model would hide what is behind them
    params = jax.tree.unflatten(tree, [0.3 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])

    def logits(embedding):
        def predict(ids):
            return model.apply({"params": params | {"embed": {"embedding": embedding}}}, ids)

        seen = []
        next_token_nats(lambda before: seen.append(predict(before)) or seen[0], model.shape.blank, ids)
        return seen[0][0] if causal else predict(ids)[0]

    gradient = jax.jit(jax.jacobian(logits))(params["embed"]["embedding"])
    return np.abs(gradient).sum(axis=(1, 3))


def test_a_character_is_predicted_from_all_before_it_and_from_nothing_else():
    strength = influence(causal=True)
    allowed = np.column_stack([np.tri(TOKENS, k=-1), np.ones(TOKENS)]).astype(bool)
    assert (strength[~allowed] == 0).all()
    assert (strength[allowed] > 0).all()


def test_without_the_causal_mask_every_character_sees_every_other():
    assert (influence(causal=False)[:, :TOKENS] > 0).all()


def test_bits_are_the_product_rule():
    """Of a table of p(next | previous): the sum over a window, its first character after the blank."""
    table = np.log(np.random.default_rng(0).dirichlet(np.ones(3), size=4))
    windows = np.array([[0, 1, 2, 1], [2, 2, 0, 0]])
    expected = [-sum(table[a, b] for a, b in zip([3, *row[:-1]], row, strict=True)) for row in windows]
    found = jax.jit(lambda ids: score(lambda before: jnp.asarray(table)[before], 3, ids, ids >= 0))(windows)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_sliding_windows_count_each_character_once_with_enough_before_it(stride):
    examples = sliding_examples(np.arange(40), 8, stride)
    counted = examples.arrays["ids"][examples.arrays["counted"]]
    assert (examples.arrays["counted"].sum(axis=1) == examples.counted).all()
    np.testing.assert_array_equal(counted, np.arange(8 - stride, counted[-1] + 1))
    assert counted[-1] > 40 - 1 - stride

"""Softmax attention: all implementations that run here give the numbers of the definition."""

import jax
import numpy as np
import pytest

from pixjax.models.attention import attend


@pytest.mark.parametrize("implementation", ["xla", "heads_first"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_its_definition(implementation, causal):
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4))
    scores = np.einsum("bnhk,bmhk->bhnm", q, k) / np.sqrt(4)
    scores = np.where(np.tri(5, dtype=bool) if causal else True, scores, -np.inf)
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = np.einsum("bhnm,bmhk->bnhk", weights, v)
    np.testing.assert_allclose(attend(q, k, v, implementation, causal=causal), expected, atol=1e-5)

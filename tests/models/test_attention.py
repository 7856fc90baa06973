"""Softmax attention: all implementations that run here give the numbers of the definition."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo

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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_with_heads_first_has_the_values_and_gradients_of_the_other(dtype, causal, masked):
    """Also where tokens are absent, and where one sees none that is there."""
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 3, 4), dtype)
    present = visible = None
    if masked:
        present, visible = jnp.ones((2, 5), bool).at[0, 1].set(False), jnp.ones((5, 5), bool).at[3].set(False)

    def loss(inputs, implementation):
        out = attend(*inputs, implementation, present, visible=visible, causal=causal)
        assert out.dtype == dtype
        return jnp.sum(jnp.sin(3 * out.astype(jnp.float32))), out

    (_, mine), mine_grad = jax.value_and_grad(loss, has_aux=True)((q, k, v), "heads_first")
    (_, other), other_grad = jax.value_and_grad(loss, has_aux=True)((q, k, v), "xla")
    near = {"float32": 1e-5, "bfloat16": 0.05}[dtype]
    pairs = zip(jax.tree.leaves((mine, mine_grad)), jax.tree.leaves((other, other_grad)), strict=True)
    for one, two in pairs:
        np.testing.assert_allclose(one.astype(jnp.float32), two.astype(jnp.float32), atol=near, rtol=near)


@pytest.fixture
def lowered_for_cudnn(monkeypatch):
    """`lowered(q, k, present, visible, causal)`: the custom calls of cuDNN's attention and of its gradient, and how
    many products are left to XLA. Only what jax asks of a GPU that is there is answered for it.
    """
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91100)
    monkeypatch.setattr(fused_attention_stablehlo, "check_compute_capability", lambda capability: True)
    monkeypatch.setattr(fused_attention_stablehlo, "is_cuda_compute_capability_equal", lambda capability: False)

    def lowered(tokens: int, seen: int, present: bool, visible: bool, causal: bool):
        def loss(q, k, v, present, visible):
            return jnp.sum(attend(q, k, v, "cudnn", present, visible=visible, causal=causal).astype(jnp.float32))

        q, k = (jax.ShapeDtypeStruct((2, n, 12, 64), jnp.bfloat16) for n in (tokens, seen))
        there = jax.ShapeDtypeStruct((2, seen), bool) if present else None
        which = jax.ShapeDtypeStruct((tokens, seen), bool) if visible else None
        traced = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).trace(q, k, k, there, which)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
        return set(re.findall(r"@__cudnn\$(\w+)\(", text)), text.count("stablehlo.dot_general")

    return lowered


@pytest.mark.parametrize("tokens", [256, 288])  # patches, and those after 32 in-context tokens
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("present", "visible"), [(False, False), (True, False), (False, True), (True, True)])
def test_cudnn_fuses_attention_under_the_masks_of_context_and_of_blocks(
    lowered_for_cudnn, tokens, present, visible, causal
):
    kernel = "fmhaScaleBiasSoftmax" if present or visible else "fmhaSoftmax"
    assert lowered_for_cudnn(tokens, tokens, present, visible, causal) == ({kernel, f"{kernel}Backward"}, 0)

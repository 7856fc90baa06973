"""Softmax attention by the implementation that suits the device. All give the same numbers, to rounding."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pixjax.config import Attention
from pixjax.models.dense import precision_of

_NEVER = float(np.finfo(np.float32).min)  # finite: a token that is absent, and sees none that is there, stays a number


def attend(
    q: Float[Array, "batch tokens heads head_width"],
    k: Float[Array, "batch seen heads head_width"],
    v: Float[Array, "batch seen heads head_width"],
    implementation: Attention,
    present: Bool[Array, "batch seen"] | None = None,
    *,
    visible: Bool[Array, "tokens seen"] | None = None,
    causal: bool = False,
) -> Float[Array, "batch tokens heads head_width"]:
    """softmax(q·k / sqrt(head_width))·v, the softmax in float32.

    Args:
      implementation: `xla` and `cudnn` are `jax.nn.dot_product_attention`'s (the second: an NVIDIA GPU and bfloat16);
        `heads_first` moves the heads before the tokens, which XLA does not do by itself on a CPU; `auto` is that one
        on a CPU and `xla` elsewhere.
      present: tokens that may be attended to; None is all.
      visible: which tokens (rows) may attend to which (columns), in every canvas; None is all.
      causal: whether a token attends to itself and those before it alone.
    """
    if implementation == "auto":
        implementation = "heads_first" if jax.default_backend() == "cpu" else "xla"
    if implementation == "heads_first":
        return _heads_first(q, k, v, _allowed(present, visible), causal)
    mask = _allowed(present, visible)
    if implementation == "cudnn" and mask is not None:  # cuDNN has no mask of keys alone
        mask = jnp.broadcast_to(mask, (*mask.shape[:2], q.shape[1], k.shape[1]))
    # It has no argument for the precision. cuDNN's takes no float32, and XLA's says of bfloat16 what it does itself.
    with jax.default_matmul_precision("highest" if q.dtype == jnp.float32 else None):
        return jax.nn.dot_product_attention(q, k, v, mask=mask, is_causal=causal, implementation=implementation)


def _allowed(present_BM, visible_NM):
    """Both of them, over [batch, heads, tokens, tokens]; None is all."""
    if visible_NM is None:
        return None if present_BM is None else present_BM[:, None, None]
    visible = jnp.asarray(visible_NM)[None, None]
    return visible if present_BM is None else visible & present_BM[:, None, None]


def _heads_first(q_BNHK, k_BNHK, v_BNHK, allowed, causal):
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q_BNHK * q_BNHK.shape[-1] ** -0.5, k_BNHK, v_BNHK))
    precision = precision_of(q.dtype)
    scores_BHNM = jnp.einsum("bhnk,bhmk->bhnm", q, k, precision=precision, preferred_element_type=jnp.float32)
    if allowed is not None:
        scores_BHNM = jnp.where(allowed, scores_BHNM, _NEVER)
    if causal:
        scores_BHNM = jnp.where(jnp.tri(scores_BHNM.shape[-1], dtype=bool), scores_BHNM, _NEVER)
    # Divided by their sum after the product and not before it: fewer passes over [tokens, seen], backwards above all.
    most_BHN1 = jax.lax.stop_gradient(jnp.max(scores_BHNM, axis=-1, keepdims=True))
    weights_BHNM = jnp.exp(scores_BHNM - most_BHN1)
    total_BHN1 = jnp.sum(weights_BHNM, axis=-1, keepdims=True)
    out_BHNK = jnp.einsum(
        "bhnm,bhmk->bhnk", weights_BHNM.astype(v.dtype), v, precision=precision, preferred_element_type=jnp.float32
    )
    return jnp.swapaxes(out_BHNK / total_BHN1, 1, 2).astype(v.dtype)

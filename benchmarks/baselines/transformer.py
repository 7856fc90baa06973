"""The transformer of both baselines: pixjax's blocks without a condition, over characters instead of patches.

Shape suffixes: B batch, N tokens, D width, H heads, K head width, V vocabulary. Parameters are float32; matrix products
run in `Shape.dtype`; norms, softmax, rotations, the residual stream and the output layer run in float32.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from pixjax.config import Attention
from pixjax.models.attention import attend
from pixjax.models.patches import rotate

_xavier = nn.initializers.xavier_uniform()
_zeros = nn.initializers.zeros_init()  # of what is added to the residual stream, and of the logits: uniform at first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """Everything that decides the shapes and the arithmetic."""

    vocab_size: int
    length: int
    width: int
    depth: int
    heads: int
    causal: bool
    dropout: float = 0.0
    attention: Attention = "auto"
    dtype: Any = jnp.float32

    @property
    def blank(self) -> int:
        """The id after the last: stands where no character is known, before the first or under a mask."""
        return self.vocab_size

    @property
    def mlp_width(self) -> int:
        """Of SwiGLU: two thirds of the usual four widths, so that its three matrices cost what two would."""
        return int(4 * self.width * 2 / 3)

    @property
    def training_flops(self) -> int:
        """Of one token in one update, counted as two a multiply-add, of matrix products alone.

        6 a parameter of the matrices (all but the embedding), and 12·depth·length·width of attention, of which a
        causal mask saves nothing: three times the forward pass, as in `pixjax.models.flops`.
        """
        block = 4 * self.width**2 + 3 * self.width * self.mlp_width
        matrices = self.depth * block + self.width * self.vocab_size
        return 6 * matrices + 12 * self.depth * self.length * self.width


def _norm(name: str) -> nn.RMSNorm:
    return nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32, name=name)


class Block(nn.Module):
    shape: Shape
    deterministic: bool

    @nn.compact
    def __call__(self, x_BND, angles_NP):
        shape = self.shape

        def dense(width, init, name):
            return nn.Dense(width, use_bias=False, dtype=shape.dtype, kernel_init=init, name=name)

        def drop(x):
            return nn.Dropout(shape.dropout, deterministic=self.deterministic)(x)

        h_BND = _norm("norm1")(x_BND)
        qkv = dense(3 * shape.width, _xavier, "qkv")(h_BND)
        q, k, v = (x.reshape(*x.shape[:2], shape.heads, -1) for x in jnp.split(qkv, 3, axis=-1))
        q = rotate(_norm("q_norm")(q), angles_NP).astype(shape.dtype)
        k = rotate(_norm("k_norm")(k), angles_NP).astype(shape.dtype)
        mixed_BND = attend(q, k, v, shape.attention, causal=shape.causal).reshape(x_BND.shape)
        x_BND += drop(dense(shape.width, _zeros, "proj")(mixed_BND))

        h_BND = _norm("norm2")(x_BND)
        gate, value = jnp.split(dense(2 * shape.mlp_width, _xavier, "w12")(h_BND), 2, axis=-1)
        return x_BND + drop(dense(shape.width, _zeros, "w3")(nn.silu(gate) * value))


class Transformer(nn.Module):
    """Ids, of which some may be `Shape.blank`, to logits over the vocabulary at each place."""

    shape: Shape

    @nn.compact
    def __call__(
        self, ids: Integer[Array, "batch tokens"], *, deterministic: bool = True
    ) -> Float[Array, "batch tokens vocab"]:
        shape = self.shape
        embed = nn.Embed(shape.vocab_size + 1, shape.width, embedding_init=nn.initializers.normal(1.0), name="embed")
        x_BND = embed(ids.astype(jnp.int32))
        angles_NP = jnp.asarray(rope_angles(ids.shape[1], shape.width // shape.heads))
        for layer in range(shape.depth):
            x_BND = Block(shape, deterministic, name=f"block{layer}")(x_BND, angles_NP)
        return nn.Dense(shape.vocab_size, use_bias=False, kernel_init=_zeros, name="out")(_norm("out_norm")(x_BND))


def rope_angles(tokens: int, head_width: int, theta: float = 1e4) -> Float[np.ndarray, "tokens pairs"]:
    """Angles of the rotary embedding along one axis (RoFormer, arXiv 2104.09864)."""
    frequencies = theta ** (-np.arange(0, head_width, 2) / head_width)
    return (np.arange(tokens)[:, None] * frequencies).astype(np.float32)


def compute_dtype() -> Any:
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16

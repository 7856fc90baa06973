"""The blocks of the transformer: attention and SwiGLU, each modulated by the condition (adaLN-Zero).

Shape suffixes as in jit.py.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pixjax.config import ModelConfig
from pixjax.models.attention import attend
from pixjax.models.dense import Dense, FusedDense
from pixjax.models.on_mesh import by_canvas, shares_heads
from pixjax.models.patches import rotate

_xavier = nn.initializers.xavier_uniform()
_zeros = nn.initializers.zeros_init()


def norm(name: str) -> nn.RMSNorm:
    return nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32, name=name)


def modulate(x_BND, shift_BND, scale_BND):
    return x_BND * (1 + scale_BND) + shift_BND


class Past(NamedTuple):
    """Keys and values of tokens that came before, with room for those that come now."""

    k_BMHK: Array
    v_BMHK: Array
    place: int | Array  # of the first that comes now

    def joined_by(self, k_BNHK, v_BNHK) -> "Past":
        k, v = (
            jax.lax.dynamic_update_slice_in_dim(old, new, self.place, axis=1)
            for old, new in ((self.k_BMHK, k_BNHK), (self.v_BMHK, v_BNHK))
        )
        return Past(k, v, self.place)


class Attention(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x_BND, angles_NP, present_BN, visible_NN=None, past: Past | None = None):
        """Of the tokens alone; or, with a `past`, of them and of what is in it, which is returned with them in it."""
        config = self.config
        batch, tokens, width = x_BND.shape
        qkv = FusedDense(3, width, splits=shares_heads(config.heads), dtype=config.dtype, name="qkv")(x_BND)
        q, k, v = (x.reshape(batch, tokens, config.heads, config.head_width) for x in qkv)
        q = rotate(norm("q_norm")(q), angles_NP).astype(config.dtype)
        k = rotate(norm("k_norm")(k), angles_NP).astype(config.dtype)
        if past is not None:
            past = past.joined_by(k, v)
            k, v, _ = past
        out_BNHK = attend(q, k, v, config.attention, present_BN, visible=visible_NN)
        proj = Dense(width, ("heads", "embed"), dtype=config.dtype, kernel_init=_xavier, name="proj")
        out = by_canvas(proj(out_BNHK.reshape(x_BND.shape)))
        return out if past is None else (out, past)


def swiglu_width(width: int) -> int:
    """The hidden width of SwiGLU: two thirds of the usual four widths, so that three matrices cost as two."""
    return int(4 * width * 2 / 3)


class SwiGLU(nn.Module):
    config: ModelConfig

    @nn.compact
    def __call__(self, x_BND, drop):
        width, dtype = x_BND.shape[-1], self.config.dtype
        gate, value = FusedDense(2, swiglu_width(width), splits=True, dtype=dtype, name="w12")(x_BND)
        w3 = Dense(width, ("mlp", "embed"), dtype=dtype, kernel_init=_xavier, name="w3")
        return by_canvas(w3(drop(nn.silu(gate) * value)))


class Block(nn.Module):
    """One transformer block, written as the body of a scan over layers."""

    config: ModelConfig
    deterministic: bool
    runs: tuple[int, ...]  # how many tokens follow each condition: of the canvas, of clean canvases

    @nn.compact
    def __call__(
        self, x_BND, drops: Array, c_BCD, angles_NP, present_BN, visible_NN, image_BN, past: Past | None = None
    ):
        """`drops` is a scalar: whether this layer, one of the middle half, uses dropout.

        `c_BCD` is one condition for each run of tokens. `present_BN` says which tokens are there, `visible_NN` which
        see which; None is all. `image_BN` says with `ModelConfig.modality_mlp` which are known to be of an image.
        Returns the tokens, and the `past` with them in it.
        """
        config = self.config

        def drop(x):
            if config.dropout == 0 or self.deterministic:
                return x
            return jnp.where(drops, nn.Dropout(config.dropout, deterministic=False)(x), x)

        x_BND = by_canvas(x_BND)
        to_modulation = Dense(
            6 * config.width, ("embed", "mlp"), dtype=config.dtype, kernel_init=_zeros, name="modulation"
        )
        modulation = by_canvas(to_modulation(nn.silu(c_BCD)))
        if len(self.runs) > 1:
            of_runs = jnp.split(modulation, len(self.runs), axis=1)
            modulation = jnp.concatenate(
                [jnp.repeat(m, n, axis=1) for m, n in zip(of_runs, self.runs, strict=True)], axis=1
            )
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = jnp.split(modulation.astype(jnp.float32), 6, axis=-1)
        h = modulate(norm("norm1")(x_BND), shift_a, scale_a).astype(config.dtype)
        heard = Attention(config, name="attention")(h, angles_NP, present_BN, visible_NN, past)
        heard, past = heard if past is not None else (heard, None)
        x_BND = x_BND + gate_a * drop(heard)
        h = modulate(norm("norm2")(x_BND), shift_m, scale_m).astype(config.dtype)
        out = SwiGLU(config, name="mlp")(h, drop)
        if config.modality_mlp:
            out = jnp.where(image_BN[..., None], SwiGLU(config, name="mlp_image")(h, drop), out)
        return by_canvas(x_BND + gate_m * out), past

"""Text is read cell by cell, in reading order, at the bottom and at the top of the network.

A patch holds a run of letters, and a transformer over patches has to learn the same spelling once for each place in
a patch. Here every cell is mixed with its neighbours by the same weights, wherever it is: a residual convolution over
the reading order, which also crosses the borders of patches.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixjax.models.dense import dense
from pixjax.models.on_mesh import by_canvas
from pixjax.models.presets import Architecture

_xavier = nn.initializers.xavier_uniform()


class CellBlock(nn.Module):
    """x + f(x and its neighbours)."""

    arch: Architecture

    @nn.compact
    def __call__(self, x: Float[Array, "batch cells width"]) -> Float[Array, "batch cells width"]:
        arch, width = self.arch, x.shape[-1]
        h = nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32, name="norm")(x).astype(arch.dtype)
        reach, cells = arch.cell_reach, x.shape[1]
        padded = jnp.pad(h, ((0, 0), (reach, reach), (0, 0)))
        around = jnp.concatenate([padded[:, i : i + cells] for i in range(2 * reach + 1)], axis=-1)
        h = nn.silu(by_canvas(dense(2 * width, dtype=arch.dtype, kernel_init=_xavier, name="mix")(around)))
        out = dense(width, dtype=arch.dtype, kernel_init=nn.initializers.zeros_init(), name="out")(h)
        return x + out.astype(jnp.float32)

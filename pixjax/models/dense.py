"""Matrix products with stated precision, float32 where it is said, and with parts that a mesh can split.

On a TPU a float32 product is one bfloat16 pass unless it asks for more, and on a GPU TensorFloat-32.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pixjax.models.on_mesh import FSDP, TENSOR, lay_out, own_share


def precision_of(dtype: DTypeLike) -> jax.lax.Precision | None:
    """The precision of a product of operands of this type: that of float32, or else the one of the device."""
    return jax.lax.Precision.HIGHEST if jnp.dtype(dtype) == jnp.float32 else None


def dense(features: int, *, name: str, dtype: DTypeLike = jnp.float32, **options: Any) -> nn.Dense:
    """`nn.Dense` with its product in `dtype`."""
    return nn.Dense(features, dtype=dtype, precision=precision_of(dtype), name=name, **options)


class FusedDense(nn.Module):
    """Several maps of one input by one matrix, their columns side by side: q, k and v, or a gate and its value.

    The parameters are those of one `nn.Dense`. Where a mesh splits a layer, each device computes its share of every
    part: columns are gathered by part first, and not by where they stand in the matrix.
    """

    parts: int
    features: int  # of each part
    splits: bool  # whether a mesh splits the features
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> tuple[Float[Array, "*batch features"], ...]:
        inputs, columns = x.shape[-1], self.parts * self.features
        kernel = self.param("kernel", nn.initializers.xavier_uniform(), (inputs, columns))
        bias = self.param("bias", nn.initializers.zeros_init(), (columns,))
        axis = TENSOR if self.splits else None
        bias = own_share(bias.reshape(self.parts, self.features), axis)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        # Between the devices that share a layer first: for both steps at once the compiler sends all of it to all.
        kernel = lay_out(kernel.reshape(inputs, self.parts, self.features), FSDP, None, axis)
        kernel = lay_out(kernel, None, None, axis)
        dimensions = (((x.ndim - 1,), (0,)), ((), ()))
        y = jax.lax.dot_general(x, kernel, dimensions, precision=precision_of(x.dtype))
        y += bias.reshape(*[1] * (x.ndim - 1), self.parts, self.features)
        return tuple(y[..., part, :] for part in range(self.parts))

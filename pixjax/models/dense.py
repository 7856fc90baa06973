"""Matrix products with stated precision, float32 where it is said, and with parts that a mesh can split.

On a TPU a float32 product is one bfloat16 pass unless it asks for more, and on a GPU TensorFloat-32.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pixjax.models.on_mesh import FSDP, TENSOR, lay_out, own_share

# The logical axes of a kernel, [inputs, outputs]; `pixjax.training.mesh` says what each is split over, None is whole.
Axes = tuple[Literal["embed", "heads", "mlp", "fused"] | None, Literal["embed", "mlp"] | None]


def precision_of(dtype: DTypeLike) -> jax.lax.Precision | None:
    """The precision of a product of operands of this type: that of float32, or else the one of the device."""
    return jax.lax.Precision.HIGHEST if jnp.dtype(dtype) == jnp.float32 else None


def product(x: Float[Array, "*batch inputs"], kernel: Float[Array, "inputs *features"]) -> Float[Array, "..."]:
    """Over the inputs, with the precision of their type."""
    return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())), precision=precision_of(x.dtype))


class Dense(nn.Module):
    """`nn.Dense`, with its product in `dtype` and the axes that its kernel is split along."""

    features: int
    axes: Axes
    kernel_init: nn.initializers.Initializer
    dtype: DTypeLike = jnp.float32
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = product(x, kernel)
        return y if bias is None else y + bias.reshape(*[1] * (y.ndim - 1), -1)


class FusedDense(nn.Module):
    """Several maps of one input by one matrix, their columns side by side: q, k and v, or a gate and its value.

    The parameters are those of one `nn.Dense`. Where a mesh splits a layer, each device computes its share of every
    part: columns are gathered by part first, and not by where they stand in the matrix.
    """

    parts: int
    features: int  # of each part
    splits: bool  # whether a mesh splits the features
    dtype: DTypeLike
    axes: Axes = ("fused", None)  # along its input, as a device needs columns from all over it

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
        y = product(x, kernel)
        y += bias.reshape(*[1] * (x.ndim - 1), self.parts, self.features)
        return tuple(y[..., part, :] for part in range(self.parts))

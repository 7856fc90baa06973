"""The places of activations on the mesh (data, fsdp, tensor) that a step is traced for.

Left to itself the compiler lets the layout of a weight spread to what it is multiplied with, and moves activations to
and fro. A step that is traced without a mesh (`jax.sharding.use_abstract_mesh`) is left as it is.
"""

import math

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

FSDP = "fsdp"
BATCH = ("data", FSDP)
TENSOR = "tensor"


def lay_out(x: Array, *axes: str | tuple[str, ...] | None) -> Array:
    """The same values, split along the axes that are named, and whole along those that are None."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape["fsdp"] * mesh.shape["tensor"] == 1:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*axes))


def own_share(x: Array, axis: str | None) -> Array:
    """The same values, which every device has, split along the last axis.

    Its gradient, which every device needs as well, is a sum with zeros for what others have: the compiler sends it with
    other sums, and would send a message more to gather it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if axis is None or mesh.empty or x.shape[-1] % mesh.shape[axis] or mesh.shape[axis] == 1:
        return x

    def mine(x: Array) -> Array:
        size = x.shape[-1] // mesh.shape[axis]
        return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis) * size, size, axis=-1)

    layout = PartitionSpec(*[None] * (x.ndim - 1), axis)
    return jax.shard_map(mine, in_specs=PartitionSpec(), out_specs=layout, axis_names={axis})(x)


def by_canvas(x: Array) -> Array:
    """Split over canvases alone: what it says of one canvas is on one device, and on all that share a layer."""
    return lay_out(x, BATCH, *[None] * (x.ndim - 1))


def shares_heads(heads: int) -> bool:
    """Whether each of the devices that share a layer can have as many heads."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or heads % mesh.shape[TENSOR] == 0


def batch_shards() -> int:
    """How many devices a batch is split over."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else math.prod(mesh.shape[name] for name in BATCH)

"""Where activations lie on the mesh (data, fsdp, tensor) that a step is traced for.

Left to itself the compiler lets the layout of a weight spread to what it is multiplied with, and moves activations to
and fro. A step that is traced without a mesh (`jax.sharding.use_abstract_mesh`) is left as it is.
"""

import jax
from jax.sharding import PartitionSpec
from jaxtyping import Array

BATCH = ("data", "fsdp")
TENSOR = "tensor"


def lay_out(x: Array, *axes: str | tuple[str, ...] | None) -> Array:
    """The same values, split along the axes that are named, and whole along those that are None."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.shape["fsdp"] * mesh.shape["tensor"] == 1:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec(*axes))


def by_canvas(x: Array) -> Array:
    """Split over canvases alone: what it says of one canvas is on one device, and on all that share a layer."""
    return lay_out(x, BATCH, *[None] * (x.ndim - 1))


def shares_heads(heads: int) -> bool:
    """Whether each of the devices that share a layer can have as many heads."""
    mesh = jax.sharding.get_abstract_mesh()
    return mesh.empty or heads % mesh.shape[TENSOR] == 0

"""Devices as a mesh (data, fsdp, tensor), and which axis each parameter is split along."""

import math
import re
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from pixjax.config import MeshConfig
from pixjax.errors import InputError

# Parameter path -> logical axes, counted from the last; what no rule names is replicated. Layer axes come first and
# stay whole. What fuses several matrices is split along its input, as a device needs columns from all over it.
LOGICAL_AXES = (
    (r"attention/qkv/kernel", ("fused", None)),
    (r"attention/proj/kernel", ("heads", "embed")),
    (r"mlp(_image)?/w12/kernel", ("fused", None)),
    (r"mlp(_image)?/w3/kernel", ("mlp", "embed")),
    (r"(^|/)modulation/kernel", ("embed", "mlp")),
    (r"(^|/)out_modulation/kernel", ("embed", None)),  # once a canvas, and small: split further, it costs two messages
    (r"(^|/)(time_in|time_out|embed_out|embed_in|embed_previous|embed_ids|out|out_ids)/kernel", (None, "embed")),
    (r"(^|/)cells_(below|above)_\d+/mix/kernel", (None, "embed")),
)
MESH_AXES = {"embed": ("fsdp",), "heads": ("tensor",), "mlp": ("tensor",), "fused": ("fsdp", "tensor")}


def mesh_shape(config: MeshConfig, devices: int) -> tuple[int, int, int]:
    """The sizes of (data, fsdp, tensor). Raises `InputError` when they do not multiply to the number of devices."""
    axes = [config.data, config.fsdp, config.tensor]
    if axes.count(-1) > 1 or any(a == 0 or a < -1 for a in axes):
        raise InputError(
            f"training.mesh={tuple(axes)} has to be positive sizes, at most one of them -1 (all that are left)"
        )
    fixed = int(np.prod([a for a in axes if a != -1]))
    if devices % fixed if -1 in axes else devices != fixed:
        raise InputError(
            f"training.mesh (data, fsdp, tensor)={tuple(axes)} does not fit {devices} devices: "
            f"choose sizes whose product is {devices}"
        )
    data, fsdp, tensor = (devices // fixed if a == -1 else a for a in axes)
    return data, fsdp, tensor


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh of all devices unless some are given. Raises `InputError` for axes that do not multiply to them."""
    devices = jax.devices() if devices is None else devices
    shape = mesh_shape(config, len(devices))
    return jax.make_mesh(shape, ("data", "fsdp", "tensor"), devices=devices, axis_types=(AxisType.Auto,) * 3)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Canvases are split over all devices but those that share a layer."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(mesh: Mesh, shapes):
    """A `NamedSharding` for each array of a train state (parameters, moments and averages share the rules)."""

    def sharding(path, array):
        name = "/".join(str(getattr(key, "key", getattr(key, "name", ""))) for key in path)
        return NamedSharding(mesh, partition(mesh, name, array.shape))

    return jax.tree_util.tree_map_with_path(sharding, shapes)


def partition(mesh: Mesh, name: str, shape: tuple[int, ...]) -> PartitionSpec:
    for pattern, logical in LOGICAL_AXES:
        if re.search(pattern, name) and len(shape) >= len(logical):
            axes = [()] * (len(shape) - len(logical)) + [MESH_AXES.get(axis or "", ()) for axis in logical]
            return PartitionSpec(*(_dividing(mesh, names, size) for names, size in zip(axes, shape, strict=True)))
    return PartitionSpec()


def _dividing(mesh: Mesh, names: tuple[str, ...], size: int) -> str | tuple[str, ...] | None:
    """The mesh's axes that divide an array's axis evenly. Where none does it stays whole: slower, never wrong."""
    while names and size % math.prod(mesh.shape[name] for name in names):
        names = names[:-1]
    return names if len(names) > 1 else next(iter(names), None)

"""Devices as a mesh (data, fsdp, tensor), and what each parameter is split over."""

import functools
import math
import types
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from pixjax.config import MeshConfig
from pixjax.errors import InputError
from pixjax.models import JiT
from pixjax.models.dense import Axes

# What a logical axis of a kernel is split over; layers state theirs where they make it (pixjax/models/dense.py).
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


@functools.lru_cache(maxsize=4)  # half a second for a large model, and asked for each thing that is placed
def kernel_axes(model: JiT) -> Mapping[str, Axes]:
    """The axes of every kernel, as its layer states them, by its path among the parameters (`blocks/mlp/w3/kernel`).

    They are asked of the layers while the model is traced. Boxes around kernels, Flax's way, would have to be opened
    by all that saves, counts, moves or compares parameters.
    """
    stated: dict[str, Axes] = {}

    def note(call, inputs, options, context):
        if axes := getattr(context.module, "axes", None):
            stated["/".join((*context.module.path, "kernel"))] = axes
        return call(*inputs, **options)

    side = model.config.canvas_size
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), jnp.zeros(1)))
    return types.MappingProxyType(stated)


def state_shardings(mesh: Mesh | AbstractMesh, model: JiT, shapes):
    """A `NamedSharding` for each array of a train state.

    A kernel is split along the axes that its layer states, and its moments and averages with it. All else (biases,
    norms, embeddings) is on every device.
    """
    stated = kernel_axes(model)

    def sharding(path, array):
        names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
        tails = ("/".join(names[start:]) for start in range(len(names)))
        axes = next((stated[tail] for tail in tails if tail in stated), (None, None))
        return NamedSharding(mesh, partition(mesh, axes, array.shape))

    return jax.tree_util.tree_map_with_path(sharding, shapes)


def partition(mesh: Mesh | AbstractMesh, axes: Axes, shape: tuple[int, ...]) -> PartitionSpec:
    """How an array is split whose last dimensions have these axes. Those before, of layers, stay whole."""
    if not any(axes):
        return PartitionSpec()
    over = [()] * (len(shape) - len(axes)) + [MESH_AXES[axis] if axis else () for axis in axes]
    return PartitionSpec(*(_dividing(mesh, names, size) for names, size in zip(over, shape, strict=True)))


def _dividing(mesh: Mesh | AbstractMesh, names: tuple[str, ...], size: int) -> str | tuple[str, ...] | None:
    """The mesh's axes that divide an array's axis evenly. Where none does it stays whole: slower, never wrong."""
    while names and size % math.prod(mesh.shape[name] for name in names):
        names = names[:-1]
    return names if len(names) > 1 else next(iter(names), None)

"""The arrays of a tree by name: what each is, and a digest that a single wrong bit changes; and one of facts."""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def leaf_name(path: tuple[Any, ...]) -> str:
    """`blocks/mlp/w12/kernel`, for dictionaries, named tuples and sequences alike."""
    return "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path)


def named_leaves(tree: Any) -> dict[str, Any]:
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def describe_leaves(tree: Any) -> dict[str, str]:
    """Name to `float32[384,1152]`; needs shapes and dtypes alone."""
    return {
        name: f"{np.dtype(leaf.dtype).name}[{','.join(map(str, leaf.shape))}]"
        for name, leaf in named_leaves(tree).items()
    }


def digests(tree: Any) -> dict[str, int]:
    """Of each array: its bits as unsigned integers, each times an odd number of its place, summed modulo 2^32.

    Integer sums do not depend on how an array is laid out over devices, so the digest of a restored array can be
    compared with that of the saved one on any mesh. The weights are odd, so that every single flipped bit changes it.
    """
    return (digests_on_host if _is_on_host(tree) else digests_on_devices)(tree)


def digests_on_host(tree: Any) -> dict[str, int]:
    """The same of arrays that NumPy can read: nothing is compiled."""
    return {name: int(_digest(np.asarray(leaf), np)) for name, leaf in named_leaves(tree).items()}


def digests_on_devices(tree: Any) -> dict[str, int]:
    """The same where the arrays lie, also when they are split over several processes."""
    return {name: int(value) for name, value in jax.device_get(_digests(named_leaves(tree))).items()}


@jax.jit
def _digests(tree: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return jax.tree.map(lambda x: _digest(x, jnp), tree)


def _is_on_host(tree: Any) -> bool:
    return all(
        x.is_fully_addressable and all(device.platform == "cpu" for device in x.devices())
        for x in jax.tree.leaves(tree)
    )


def _digest(x: Any, xp: Any) -> Any:
    kind = _UNSIGNED[x.dtype.itemsize]
    bits = jax.lax.bitcast_convert_type(x, kind) if xp is jnp else np.ascontiguousarray(x).view(kind)
    bits = bits.reshape(x.shape).astype(np.uint32)
    place, stride = xp.zeros(x.shape, np.uint32), 1
    for axis in reversed(range(x.ndim)):  # without flattening, which would gather an array that is split
        steps = xp.arange(x.shape[axis], dtype=np.uint32) * np.uint32(stride % 2**32)
        place = place + steps.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        stride *= x.shape[axis]
    return xp.sum(bits * (place * np.uint32(2) + np.uint32(1)), dtype=np.uint32)


def digest_of_json(value: Any) -> str:
    """The SHA-256 of what can be JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

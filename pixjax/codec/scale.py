"""The two scales of a canvas: uint8 levels u in [0, 255] at rest, floats u / 127.5 - 1 in [-1, 1] on the
device.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

# NumPy arrays, JAX arrays and tracers alike: `array.__array_namespace__()` finds the functions that go with
# each.
Array = Any


def as_array(x: Array) -> Array:
    """Lists become NumPy arrays; what is an array already stays where it lives."""
    return x if hasattr(x, "__array_namespace__") else np.asarray(x)


def to_float(u: UInt8[Array, "..."]) -> Float[Array, "..."]:
    """uint8 levels in [0, 255] to float32 in [-1, 1]."""
    xp = u.__array_namespace__()
    return u.astype(xp.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(x: Float[Array, "..."]) -> UInt8[Array, "..."]:
    """Floats in [-1, 1] to the nearest uint8 level, halves to even; what lies outside is clipped."""
    xp = x.__array_namespace__()
    return xp.clip(xp.rint((x.astype(xp.float32) + 1) * np.float32(127.5)), 0, 255).astype(xp.uint8)


def is_uint8(x: Array) -> bool:
    return x.dtype == np.uint8

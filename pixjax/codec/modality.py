"""The modality of a canvas, text or natural image, and its tag in the pixels: the top-left corner is black or white."""

import enum
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from pixjax.codec.scale import Array, is_uint8, to_float
from pixjax.errors import InputError


class Modality(enum.IntEnum):
    """What a canvas is. A member is the number that arrays of modalities hold, and prints as its name.

    >>> Modality.of("image") == Modality.IMAGE == 1
    True
    >>> f"{Modality.TEXT}"
    'text'
    """

    TEXT = 0
    IMAGE = 1

    @classmethod
    def of(cls, value: Any) -> "Modality":
        """The modality that a member, its number or its name says. Raises `InputError` for anything else."""
        known: dict[Any, Modality] = {name: m for m in cls for name in (int(m), str(m))}
        try:
            return known[value]
        except (KeyError, TypeError):  # an array is not hashable
            raise InputError(f"modality={value!r} is unknown: choose 'text' or 'image'") from None

    def __str__(self) -> str:
        return self.name.lower()

    def __format__(self, spec: str) -> str:  # that of an int would print the number
        return format(str(self), spec)


TEXT, IMAGE = Modality


def paint_marker(
    canvas: Shaped[Array, "*batch height width 3"], modality: int | Int[Array, "*batch"], size: int
) -> Shaped[Array, "*batch height width 3"]:
    """A copy of the canvas, uint8 or float in [-1, 1], whose top-left `size` x `size` pixels say what it
    is.
    """
    xp = canvas.__array_namespace__()
    text, image = (0, 255) if is_uint8(canvas) else (-1, 1)
    tag = xp.where(xp.asarray(modality) == IMAGE, image, text).astype(canvas.dtype)
    height, width = canvas.shape[-3:-1]
    corner = (np.arange(height)[:, None] < size) & (np.arange(width) < size)
    return xp.where(corner[..., None], tag[..., None, None, None], canvas)


def read_marker(canvas: Shaped[Array, "*batch height width 3"], size: int) -> tuple[Any, Any]:
    """The nearest tag (int32) and its margin (float32), from uint8 or floats in [-1, 1].

    The margin is the distance to the wrong tag less the distance to the chosen one, over the distance between
    the two: 1 at the tag itself, 0 half-way. Noise whose norm over the marker is below half that distance
    never changes the answer.
    """
    xp = canvas.__array_namespace__()
    corner = canvas[..., :size, :size, :]
    x: Float[Array, "*batch values"] = (to_float(corner) if is_uint8(corner) else corner).astype(xp.float32)
    x = xp.clip(xp.where(xp.isnan(x), 0, x), -1e4, 1e4).reshape(*canvas.shape[:-3], 3 * size * size)
    to_text = xp.sqrt(xp.sum((x + 1) ** 2, axis=-1))
    to_image = xp.sqrt(xp.sum((x - 1) ** 2, axis=-1))
    between = np.float32(2 * np.sqrt(3 * size * size))
    modality = xp.where(to_image < to_text, IMAGE, TEXT).astype(xp.int32)
    return modality, (xp.abs(to_image - to_text) / between).astype(xp.float32)

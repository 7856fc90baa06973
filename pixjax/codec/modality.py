"""The modality of a canvas: text or natural image."""

import enum
from typing import Any

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

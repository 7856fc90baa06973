"""Labels as numbers: within a source, and over the sources of a run. -1 is none."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pixjax.data.source import Source
from pixjax.errors import InputError

_MOST = int(np.iinfo(np.int32).max)


def number_labels(labels: Sequence[Any], where: str) -> tuple[int, ...]:
    """Whole numbers stay; names are numbered in sorted order; None is -1. `where` names the source in errors.

    Raises `InputError` where some are numbers and some are names, and for numbers that are not in [-1, 2**31).
    """
    given = [label for label in labels if label is not None]
    numbers = [label for label in given if type(label) is int]
    if not numbers:
        number_of = {name: i for i, name in enumerate(sorted({str(label) for label in given}))}
        return tuple(-1 if label is None else number_of[str(label)] for label in labels)
    if len(numbers) < len(given):
        name = next(label for label in given if type(label) is not int)
        raise InputError(
            f"{where}: some labels are numbers, such as {numbers[0]}, and some are names, such as {name!r}: "
            "use one or the other"
        )
    for number in (min(numbers), max(numbers)):
        if not -1 <= number <= _MOST:
            raise InputError(f"{where}: label {number} is not in [-1, {_MOST}]: number classes from 0, -1 is none")
    return tuple(-1 if label is None else label for label in labels)


def first_labels(sources: Sequence[Source], num_classes: int) -> tuple[int, ...]:
    """What is added to the labels of each source, so that no class of one source is a class of another.

    Sources with labels are numbered one after the other, in their order. Without classes (`num_classes` 0)
    labels stay as they are. Raises `InputError` where the classes are fewer than the labels.
    """
    counts = [getattr(source, "num_labels", 0) for source in sources]  # text has none
    if not num_classes:
        return (0,) * len(counts)
    firsts = [sum(counts[:number]) for number in range(len(counts))]
    for source, first, count in zip(sources, firsts, counts, strict=True):
        if count and first + count > num_classes:
            after = f", numbered from {first} after those of the sources before it" if first else ""
            raise InputError(
                f"{source.uri} has {count:,} labels{after}, and model.num_classes={num_classes} is too few: "
                f"set it to {sum(counts)} or more"
            )
    return tuple(firsts)

"""Labels as numbers, within a source and over the sources of a run; -1 is none."""

import dataclasses
import functools
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pixjax.data.source import Source
from pixjax.errors import InputError

_MOST = int(np.iinfo(np.int32).max)
_SHOWN = 6  # classes of a source in one line


@dataclasses.dataclass(frozen=True)
class Labels:
    """One number for each record. names: of the classes by number; None where labels are numbers as they were given."""

    numbers: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def count(self) -> int:
        """Labels are below this; 0: there are none."""
        return max(self.numbers, default=-1) + 1

    @functools.cached_property
    def records(self) -> Mapping[int, int]:
        """How many records each label has, -1 included, by number."""
        return dict(sorted(Counter(self.numbers).items()))


def class_name(label: Any) -> str:
    """With composed accents: macOS and some editors write them decomposed, which sort elsewhere and look the same."""
    return unicodedata.normalize("NFC", str(label))


def number_labels(labels: Sequence[Any], where: str) -> Labels:
    """Whole numbers stay; names are numbered in sorted order; None is -1. `where` names the source in errors.

    Raises `InputError` where some are numbers and some are names, for lists and the like, and for numbers that are not
    in [-1, 2**31).
    """
    given = [label for label in labels if label is not None]
    if (odd := next((label for label in given if isinstance(label, list | dict)), None)) is not None:
        raise InputError(f"{where}: label {str(odd)[:40]} is neither a number nor a name: give each picture one class")
    numbers = [label for label in given if type(label) is int]
    if not numbers:
        names = sorted({class_name(label) for label in given})
        number_of = {name: i for i, name in enumerate(names)}
        return Labels(tuple(-1 if label is None else number_of[class_name(label)] for label in labels), tuple(names))
    if len(numbers) < len(given):
        name = next(label for label in given if type(label) is not int)
        raise InputError(
            f"{where}: some labels are numbers, such as {numbers[0]}, and some are names, such as {name!r}: "
            "use one or the other"
        )
    for number in (min(numbers), max(numbers)):
        if not -1 <= number <= _MOST:
            raise InputError(f"{where}: label {number} is not in [-1, {_MOST}]: number classes from 0, -1 is none")
    return Labels(tuple(-1 if label is None else label for label in labels))


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


def count_classes(names: Sequence[str] | None, records: Mapping[int, int]) -> dict[str, int]:
    """Records by the name of their class, or its number where classes have no names. Those without a label are not."""
    numbers = range(len(names)) if names is not None else [label for label in records if label >= 0]
    return {names[number] if names else str(number): records.get(number, 0) for number in numbers}


def describe_counts(classes: Mapping[str, int]) -> str:
    each = [f"{name} {count:,}" for name, count in list(classes.items())[:_SHOWN]]
    more = [f"and {len(classes) - _SHOWN:,} more"] if len(classes) > _SHOWN else []
    one = "class" if len(classes) == 1 else "classes"
    return f"{len(classes):,} {one}: {', '.join(each + more)}"


def describe_classes(source: Source) -> str:
    """A line on the classes of a source: how many, the first of them, and their pictures; empty where it has none."""
    if not (count := getattr(source, "num_labels", 0)):
        return ""
    names: tuple[str, ...] | None = getattr(source, "class_names", None)
    records: Mapping[int, int] | None = getattr(source, "class_records", None)
    if records is None:
        return f"{count:,} classes" + (f": {', '.join(names[:_SHOWN])}{', …' * (count > _SHOWN)}" if names else "")
    without = f"; {records[-1]:,} pictures have none" if records.get(-1) else ""
    return describe_counts(count_classes(names, records)) + without


def source_notes(sources: Sequence[Source], num_classes: int) -> list[str]:
    """What a user should know before training: the classes of each source, and what its files leave in doubt."""
    notes = []
    of_name: dict[str, str] = {}
    for source in sources:
        classes = describe_classes(source)
        if classes and not num_classes:
            classes += " (not used: model.num_classes=0)"
        lines = [classes, *getattr(source, "notes", ())]
        notes += [f"{source.uri}: {line}" for line in lines if line]
        for name in getattr(source, "class_names", None) or ():
            if num_classes and (other := of_name.setdefault(name, source.uri)) != source.uri:
                notes.append(f"class {name!r} of {source.uri} and of {other} are two classes of this run")
                break
    if num_classes and not any(getattr(source, "num_labels", 0) for source in sources):
        notes.append(f"model.num_classes={num_classes}, and no source has labels: no class will be learned")
    return notes


def all_class_names(sources: Sequence[Source], num_classes: int) -> list[str | None]:
    """The name of each label of a run, as far as it has one; empty for a run without classes."""
    if not num_classes:
        return []
    names: list[str | None] = []
    for source, first in zip(sources, first_labels(sources, num_classes), strict=True):
        of_source = getattr(source, "class_names", None)
        if of_source:
            names += [None] * (first - len(names)) + list(of_source)
    return names


ClassNames = list[list[str] | None]


def source_classes(sources: Sequence[Source]) -> ClassNames:
    """The names of the classes of each source, in the order of the sources; None where it has no names. JSON-able."""
    return [None if (names := getattr(source, "class_names", None)) is None else list(names) for source in sources]


def require_same_classes(saved: ClassNames, sources: Sequence[Source]) -> None:
    """Raises `InputError` naming the first class that is not what `source_classes` said when a run was saved.

    Classes are numbered in the order of their names: with one more or less, every later one would be another.
    """
    for source, before, now in zip(sources, saved, source_classes(sources), strict=False):
        before, now = ([name and class_name(name) for name in names or []] for names in (before, now))
        if before == now:
            continue
        gone = [name for name in before if name not in now]
        new = [name for name in now if name not in before]
        if gone and new and len(gone) == len(new):
            what = f"class {gone[0]!r} is now {new[0]!r}"
        elif gone:
            what = f"class {gone[0]!r} is gone"
        elif new:
            what = f"class {new[0]!r} is new"
        else:
            what = f"the order of its classes is another ({', '.join(now[:3])}, …)"
        others = max(len(gone), len(new)) - 1
        raise InputError(
            f"{source.uri}: {what}{f' (and {others} more)' if others > 0 else ''} since the run was saved, so that its "
            "labels would mean other classes: name the folders or labels as they were, or start another run from its "
            "weights with training.init_from"
        )

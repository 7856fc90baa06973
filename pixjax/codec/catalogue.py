"""The codes worth considering for a vocabulary, and what each costs."""

import dataclasses

import numpy as np

from pixjax.codec.radix import RadixCode, smallest_levels

VOCABULARIES = (27, 256, 8_000, 32_000, 50_257, 151_936)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A code and its price: `min_distance` is the smallest distance between two colours, on the scale [-1, 1]."""

    name: str
    code: RadixCode
    tokens_per_canvas: int
    min_distance: float


def catalogue(vocab_size: int, canvas_size: int = 64, marker_size: int = 1) -> tuple[Entry, ...]:
    """`base256`, then for each number of levels that some number of pixels needs the shortest such code.

    From one pixel a token, with as many levels as it takes, to two levels (analog bits), with as many pixels.
    """
    available = canvas_size**2 - marker_size**2
    entries = [_entry("base256", RadixCode(vocab_size=vocab_size, levels=256, pixels=1), available)]
    pixels, levels = 0, 257
    while levels > 2:
        pixels += 1
        fewer = smallest_levels(vocab_size, pixels)
        if fewer < levels and fewer <= 256:
            code = RadixCode(vocab_size=vocab_size, levels=fewer, pixels=pixels)
            entries.append(_entry(f"radix:{fewer}:{pixels}", code, available))
            levels = fewer
    return tuple(entries)


def _entry(name: str, code: RadixCode, available: int) -> Entry:
    # Two ids that differ in the least significant digit by one level are the nearest, and there always are some;
    # in base256 nothing is nearer either.
    values = code.level_values[: code.vocab_size].astype(int)
    return Entry(
        name=name,
        code=code,
        tokens_per_canvas=available // code.pixels,
        min_distance=float(np.diff(values).min() / 127.5),
    )


def markdown_table(vocabularies: tuple[int, ...] = VOCABULARIES) -> str:
    """The catalogue as it stands in the documentation."""
    lines = [
        "| symbols | code | levels | pixels a token | tokens on a 64×64 canvas | smallest distance |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for vocab_size in vocabularies:
        for entry in catalogue(vocab_size):
            code = entry.code
            lines.append(
                f"| {vocab_size:,} | `{entry.name}` | {code.levels} | {code.pixels} "
                f"| {entry.tokens_per_canvas:,} | {entry.min_distance:.4f} |"
            )
    return "\n".join(lines)

"""Exact nearest-colour decoding without a distance to every colour.

The legal digit strings are those that count below the vocabulary size V. Such a set is a union of at most
one box for each digit of V: {the digits above j as in V, digit j below V's, the digits under j free}. The
nearest point of a box is found digit by digit, so the nearest legal colour, and the nearest wrong one, cost
O(digits²) and not O(V).

Everything is measured in units where level u of [0, 255] lies at 2u - 255, so that all distances between
uint8 colours are whole numbers: NumPy and XLA then agree on every uint8 canvas bit for bit, ties included.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from pixjax.codec.scale import Array, is_uint8

_GRID = np.float32(2.0**13)  # floats are snapped to 1/8192 of a unit: an uint8 level stays whole after u / 127.5 - 1
_FAR = np.float32(2.0**15)  # 128 times the range of a canvas


@dataclasses.dataclass(frozen=True)
class Box:
    """All digit strings with lower[i] <= digit i <= upper[i]."""

    lower: Int[np.ndarray, "digits"]
    upper: Int[np.ndarray, "digits"]


def to_units(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """uint8, or floats in [-1, 1], to float32 with level u at 2u - 255. NaN is taken as mid-grey."""
    xp = x.__array_namespace__()
    if is_uint8(x):
        return x.astype(xp.float32) * 2 - 255
    units = xp.clip(xp.where(xp.isnan(x), 0, x).astype(xp.float32) * 255, -_FAR, _FAR)
    return xp.rint(units * _GRID) / _GRID


def nearest_level(units: Float[Array, "..."], levels: UInt8[np.ndarray, "levels"]) -> Int[Array, "..."]:
    """Index of the nearest level; half-way goes up."""
    xp = units.__array_namespace__()
    positions = levels.astype(np.float32) * 2 - 255
    middles = (positions[1:] + positions[:-1]) / 2
    last = len(levels) - 1
    guess = xp.clip(xp.rint((units + 255) * np.float32(last / 510)), 0, last).astype(xp.int32)
    # Rounding to uint8 has moved the levels a little: the guess may be off by one.
    above = xp.asarray(np.append(middles, np.float32(np.inf)))[guess]
    below = xp.asarray(np.insert(middles, 0, np.float32(-np.inf)))[guess]
    return guess + (units >= above).astype(xp.int32) - (units < below).astype(xp.int32)


def nearest_legal(
    units: Float[Array, "*batch digits"], levels: UInt8[np.ndarray, "levels"], boxes: tuple[Box, ...]
) -> tuple[Any, Any]:
    """The nearest digit string inside any of the (disjoint) boxes, and the margin to the nearest other one.

    Returns digits, int32 [*batch, digits], and the margin, float32 [*batch]: the distance to the nearest
    wrong colour less the distance to the nearest, over the distance between the two. It is 1 at a colour
    itself and 0 half-way.
    """
    xp = units.__array_namespace__()
    positions = xp.asarray(levels.astype(np.float32) * 2 - 255)
    free = nearest_level(units, levels)
    free_at = positions[free]

    # The two best candidates so far, each as (cost, digits), cost being the squared distance above that of
    # `free`.
    first = second = (xp.full(units.shape[:-1], np.float32(np.inf)), free)
    for box in boxes:
        inside = xp.clip(free, box.lower, box.upper).astype(xp.int32)
        at = positions[inside]
        cost = xp.sum((at - free_at) * (at + free_at - 2 * units), axis=-1)
        neighbour = _cheapest_step(units, inside, positions, box)
        for candidate in ((cost, inside), (cost + neighbour[0], neighbour[1])):
            wins, places = candidate[0] < first[0], candidate[0] < second[0]
            second = _choose(wins, first, _choose(places, candidate, second))
            first = _choose(wins, candidate, first)

    nearest_at, wrong_at = positions[first[1]], positions[second[1]]
    to_nearest = xp.sum((units - nearest_at) ** 2, axis=-1)
    extra = second[0] - first[0]
    to_wrong = xp.sqrt(to_nearest + extra)
    between = xp.sqrt(xp.sum((nearest_at - wrong_at) ** 2, axis=-1))
    margin = extra / ((xp.sqrt(to_nearest) + to_wrong) * between)
    return first[1], xp.clip(margin, 0, 1).astype(xp.float32)


def _choose(condition: Array, yes: tuple[Any, Any], no: tuple[Any, Any]) -> tuple[Any, Any]:
    xp = condition.__array_namespace__()
    return xp.where(condition, yes[0], no[0]), xp.where(condition[..., None], yes[1], no[1])


def _cheapest_step(units: Array, digits: Array, positions: Array, box: Box) -> tuple[Any, Any]:
    """The cheapest change of one digit by one level that stays in the box: (extra squared distance,
    digits).
    """
    xp = units.__array_namespace__()
    here = positions[digits]
    stepped = xp.stack([xp.clip(digits + step, box.lower, box.upper) for step in (-1, 1)], axis=-2)
    there = positions[stepped]
    cost = (there - here[..., None, :]) * (there + here[..., None, :] - 2 * units[..., None, :])
    cost = xp.where(stepped == digits[..., None, :], np.float32(np.inf), cost)
    flat = cost.reshape(*cost.shape[:-2], 2 * digits.shape[-1])
    best = xp.argmin(flat, axis=-1)[..., None]
    step = xp.where(best < digits.shape[-1], -1, 1)
    changed = digits + step * (xp.arange(digits.shape[-1]) == best % digits.shape[-1])
    cheapest = xp.take_along_axis(flat, best, axis=-1)[..., 0]
    return cheapest, xp.clip(changed, box.lower, box.upper).astype(xp.int32)

"""Exact nearest-colour decoding without a distance to every colour.

The legal digit strings are those that count below the vocabulary size V. Such a set is a union of at most
one box for each digit of V: {the digits above j as in V, digit j below V's, the digits under j free}. The
nearest point of a box is found digit by digit, so the nearest legal colour, and the nearest wrong one, cost
O(digits²) and not O(V).

Everything is measured in units where level u of [0, 255] lies at 2u - 255, so that all distances between
uint8 colours are whole numbers: NumPy and XLA then agree on every uint8 canvas bit for bit, ties included.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from pixjax.codec.scale import Array, is_uint8

_GRID = np.float32(2.0**13)  # floats are snapped to 1/8192 of a unit: an uint8 level stays whole after u / 127.5 - 1
_FAR = np.float32(2.0**15)  # 128 times the range of a canvas


@dataclasses.dataclass(frozen=True)
class Box:
    """All digit strings with lower[i] <= digit i <= upper[i].

    Digits above `place` are fixed, that at `place` lies in an interval, and those under it are free.
    """

    place: int
    lower: Int[np.ndarray, "digits"]
    upper: Int[np.ndarray, "digits"]


def to_units(x: Shaped[Array, "..."]) -> Float[Array, "..."]:
    """uint8, or floats in [-1, 1], to float32 with level u at 2u - 255. NaN is taken as mid-grey."""
    xp = x.__array_namespace__()
    if is_uint8(x):
        return x.astype(xp.float32) * 2 - 255
    units = xp.clip(xp.where(xp.isnan(x), 0, x).astype(xp.float32) * 255, -_FAR, _FAR)
    return xp.rint(units * _GRID) / _GRID


@functools.lru_cache
def level_values(levels: int) -> UInt8[np.ndarray, "levels"]:
    """`levels` equally spaced values over [0, 255], rounded to uint8."""
    return np.rint(np.arange(levels) * (255 / (levels - 1))).astype(np.uint8)


def position(digit: Int[Array, "..."], levels: int) -> Float[Array, "..."]:
    """Where a level lies, in units: a whole number."""
    xp = digit.__array_namespace__()
    return xp.take(xp.asarray(level_values(levels) * np.float32(2) - 255), digit, mode="clip")


def nearest_level(units: Float[Array, "..."], levels: int) -> Int[Array, "..."]:
    """Index of the nearest level; half-way goes up."""
    xp = units.__array_namespace__()
    guess = xp.clip(xp.rint((units + 255) * np.float32((levels - 1) / 510)), 0, levels - 1).astype(xp.int32)
    # Rounding to uint8 has moved the levels a little: the guess may be off by one.
    here, above, below = (position(guess + step, levels) for step in (0, 1, -1))
    up = (2 * units >= here + above) & (guess < levels - 1)
    down = (2 * units < here + below) & (guess > 0)
    return guess + up.astype(xp.int32) - down.astype(xp.int32)


def nearest_legal(units: Float[Array, "*batch digits"], levels: int, boxes: tuple[Box, ...]) -> tuple[Any, Any]:
    """The nearest digit string inside any of the (disjoint) boxes, and the margin to the nearest other one.

    Returns digits, int32 [*batch, digits], and the margin, float32 [*batch]: the distance to the nearest wrong colour
    less the distance to the nearest, over the distance between the two. It is 1 at a colour itself and 0 half-way.
    """
    xp = units.__array_namespace__()
    num_digits = units.shape[-1]
    x = xp.stack([units[..., i] for i in range(num_digits)])  # digits first: sums over them are then contiguous
    per_digit = (num_digits,) + (1,) * (x.ndim - 1)
    none, nothing = xp.full(x.shape[1:], np.float32(np.inf)), xp.zeros_like(x[0])

    # Every box at once: digit i as it would be in the box with place i, and the digit that all boxes under i fix.
    low, high = np.zeros(num_digits, np.int32), np.full(num_digits, levels - 1, np.int32)
    for box in boxes:
        if box.place < num_digits:
            low[box.place], high[box.place] = box.lower[box.place], box.upper[box.place]
    low, high = low.reshape(per_digit), high.reshape(per_digit)
    top = min(boxes, key=lambda box: box.place).lower.reshape(per_digit)

    # Costs are squared distances above that of `free`, which no string is nearer than.
    free = nearest_level(x, levels)
    free_at = position(free, levels)
    inside = xp.clip(free, low, high).astype(xp.int32)
    inside_cost = _cost(x, free_at, position(inside, levels))
    fixed_cost = _cost(x, free_at, position(xp.asarray(top), levels))
    free_step = _step(x, free, 0, levels - 1, levels)
    inside_step = _step(x, inside, low, high, levels)
    is_top, is_inside = free == top, free == inside

    # The cheapest step of any digit under i, as (cost, gap between the levels).
    cheapest = [(none, nothing)]
    for i in range(num_digits):
        cheapest.append(_smaller((free_step[0][i], free_step[1][i]), cheapest[-1]))

    best = wrong = (none, xp.full(x.shape[1:], np.int32(-1)))  # (cost, place)
    beside = (none, nothing)  # the second nearest string of the best box, as (cost, gap)
    above, agrees = (
        nothing,
        xp.full(x.shape[1:], True),
    )  # the cost of the digits above, and whether they round so anyway
    places = {box.place for box in boxes}
    for place in range(num_digits, -1, -1):
        if place in places:
            cost, rounds, neighbour = above, agrees, cheapest[place]
            if place < num_digits:
                cost, rounds = cost + inside_cost[place], rounds & is_inside[place]
                neighbour = _smaller((inside_step[0][place], inside_step[1][place]), neighbour)
            # A channel half-way between levels ties: the string that it rounds to is then preferred.
            wins = (cost < best[0]) | ((cost == best[0]) & rounds)
            here = (cost, xp.full(x.shape[1:], np.int32(place)))
            wrong = _where(wins, best, _smaller(here, wrong))
            best = _where(wins, here, best)
            beside = _where(wins, (cost + neighbour[0], neighbour[1]), beside)
        if place < num_digits:
            above, agrees = above + fixed_cost[place], agrees & is_top[place]

    def string(place: Array) -> Array:
        """The nearest string of the box at each place."""
        digit = xp.arange(num_digits).reshape(per_digit)
        return xp.where(place[None] < digit, top, xp.where(place[None] == digit, inside, free)).astype(xp.int32)

    digits = string(best[1])
    nearest_at = position(digits, levels)
    apart = xp.sqrt(xp.sum((nearest_at - position(string(wrong[1]), levels)) ** 2, axis=0))
    cost, between = _smaller(beside, (wrong[0], apart))
    extra = cost - best[0]
    to_nearest = xp.sum((x - nearest_at) ** 2, axis=0)
    margin = extra / ((xp.sqrt(to_nearest) + xp.sqrt(to_nearest + extra)) * between)
    return xp.moveaxis(digits, 0, -1), xp.clip(margin, 0, 1).astype(xp.float32)


def _cost(x: Array, here: Array, there: Array) -> Array:
    """How much the squared distance of one channel grows when `there` is taken instead of `here`."""
    return (there - here) * (there + here - 2 * x)


def _step(x: Array, digit: Array, low: Any, high: Any, levels: int) -> tuple[Any, Any]:
    """The cheaper step by one level that stays within the bounds: (cost, gap), the cost infinite when there is none."""
    xp = x.__array_namespace__()
    here = position(digit, levels)
    steps = []
    for step, possible in ((-1, digit > low), (1, digit < high)):
        there = position(digit + step, levels)
        steps.append((xp.where(possible, _cost(x, here, there), np.float32(np.inf)), xp.abs(there - here)))
    return _smaller(*steps)


def _smaller(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    return _where(one[0] < other[0], one, other)


def _where(condition: Array, yes: tuple[Any, Any], no: tuple[Any, Any]) -> tuple[Any, Any]:
    xp = condition.__array_namespace__()
    return xp.where(condition, yes[0], no[0]), xp.where(condition, yes[1], no[1])

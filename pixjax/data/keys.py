"""Random keys of 64 bits that are functions of a position: folded, and permutations drawn from them.

No generator carries state through the pipeline. Whatever is random about a row of a batch (its record, its
crop, its flip) comes from a key folded from the seed and the row's position, so that any process can make any
row at any time.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt64

Array = Any  # of NumPy, or a scalar of NumPy: arithmetic makes one of an array without axes

Keys = UInt64[Array, "..."]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ROUNDS = 5


def _mix(x: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fold(key, *data) -> Keys:
    """A new key for each combination of `key`, or a seed, and the integers `data`; all of them broadcast."""
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        key = np.asarray(key).astype(np.uint64)
        for value in data:
            key = _mix(_mix(key + _GOLDEN) ^ (np.asarray(value).astype(np.uint64) + _GOLDEN))
        return key


def uniform(key: Keys) -> Float64[Array, "..."]:
    """One number in [0, 1) for each key."""
    return (fold(key, 0) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def randint(key: Keys, bound) -> Int64[Array, "..."]:
    """One integer in [0, bound) for each key; `bound` broadcasts."""
    return (uniform(key) * bound).astype(np.int64)


def permute(index: Int64[Array, "..."], size: int, key: Keys) -> Int64[Array, "..."]:
    """Where each `index` in [0, size) goes in the permutation of `range(size)` that its `key` names.

    Random access to a shuffled order, without storing one: keyed multiplications and shifts permute the next
    power of two, and are repeated on what falls outside (cycle walking: Black and Rogaway 2002, "Ciphers with
    arbitrary finite domains"). Keys broadcast.
    """
    bits = (size - 1).bit_length()
    shift, mask = np.uint64(max(1, bits // 2)), np.uint64((1 << bits) - 1)
    index, key = np.broadcast_arrays(np.asarray(index).astype(np.uint64), np.asarray(key, np.uint64))
    factors = fold(key[..., None], np.arange(2 * _ROUNDS)).reshape(-1, 2 * _ROUNDS)
    value = index.reshape(-1).copy()
    walking = np.arange(value.size)
    while walking.size:
        x, of_walking = value[walking], factors[walking]
        for number in range(_ROUNDS):
            x = (x * (of_walking[:, 2 * number] | np.uint64(1)) + of_walking[:, 2 * number + 1]) & mask
            x ^= x >> shift
        value[walking] = x
        walking = walking[x >= size]
    return value.reshape(index.shape).astype(np.int64)

"""The radix codes: a token id as a string of digits, each digit the level of one channel of one pixel.

A code has L levels a channel and p pixels a token, so 3·p digits, the least significant first: in red of the
first pixel. The levels are equally spaced over [0, 255] and rounded to uint8. `base256` is the code of 256
levels and one pixel.
"""

import dataclasses
import functools
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from pixjax.codec.color import ColorCode
from pixjax.codec.nearest import Box, level_values, nearest_legal, to_units
from pixjax.codec.scale import Array, is_uint8, to_float
from pixjax.errors import InputError

Order = Literal["counting", "gray", "permuted"]
PERMUTATION_SEED = 27  # of the permuted order: part of the format, as a canvas has to be read years later


@dataclasses.dataclass(frozen=True, kw_only=True)
class RadixCode(ColorCode):
    """`levels` values a channel over `pixels` pixels a token, for ids in [0, vocab_size).

    order: how ids become digit strings. `counting`; `gray` (reflected Gray code: neighbouring ids differ in
    one digit by one level); `permuted` (ids are shuffled by a fixed permutation, then counted, so that
    nearness in colour means nothing). Raises `InputError` when the code does not hold the vocabulary.
    """

    form = (
        "base256, or radix:LEVELS:PIXELS[:counting|gray|permuted] where LEVELS is a number or auto, for instance "
        "radix:auto:1"
    )
    examples = (
        "base256",
        "radix:auto:1",
        "radix:auto:1:gray",
        "radix:auto:1:permuted",
        "radix:9:1:gray",
        "radix:auto:2",
        "radix:auto:2:gray",
        "radix:3:3:permuted",
        "radix:2:4:gray",
        "radix:2:6",
    )

    vocab_size: int
    levels: int
    pixels: int
    order: str = "counting"

    @classmethod
    def parse(cls, text: str, vocab_size: int) -> "RadixCode | None":
        """`base256`, or `radix:LEVELS|auto:PIXELS[:counting|gray|permuted]`."""
        if text == "base256":
            return cls(vocab_size=vocab_size, levels=256, pixels=1)
        kind, *fields = text.split(":")
        levels, pixels, order = [*fields, "counting"][:3] if len(fields) >= 2 else ("", "", "")
        if kind != "radix" or len(fields) > 3 or not pixels.isdecimal() or not (levels.isdecimal() or levels == "auto"):
            return None
        if not 1 <= int(pixels) <= 64:
            raise InputError(f"code {text!r} has {pixels} pixels a token: choose 1 to 64")
        chosen = smallest_levels(vocab_size, int(pixels)) if levels == "auto" else int(levels)
        if levels == "auto" and chosen > 256:
            raise InputError(
                f"a vocabulary of {vocab_size:,} does not fit into {pixels} pixel(s) of 256 levels: "
                "choose more, as in radix:auto:2"
            )
        return cls(vocab_size=vocab_size, levels=chosen, pixels=int(pixels), order=order)

    def __post_init__(self):
        if not 2 <= self.levels <= 256:
            raise InputError(f"a code of {self.levels} levels a channel cannot be painted: choose 2 to 256")
        if not 1 <= self.pixels <= 64:
            raise InputError(f"a code of {self.pixels} pixels a token cannot be painted: choose 1 to 64")
        if self.order not in get_args(Order):
            raise InputError(f"digit order {self.order!r} is unknown: choose {', '.join(get_args(Order))}")
        if self.levels**self.num_digits < self.vocab_size:
            enough = smallest_levels(self.vocab_size, self.pixels)
            remedy = f"{enough} levels" if enough <= 256 else f"{self.pixels + 1} pixels"
            raise InputError(
                f"a vocabulary of {self.vocab_size:,} does not fit into {self.levels} levels over "
                f"{self.pixels} pixel(s), which hold {self.levels**self.num_digits:,}: choose at least {remedy}"
            )

    @property
    def num_digits(self) -> int:
        return 3 * self.pixels

    @property
    def level_values(self) -> UInt8[np.ndarray, "levels"]:
        return level_values(self.levels)

    @functools.cached_property
    def permutation(self) -> Int[np.ndarray, "vocab"]:
        """The number that each id counts as."""
        return np.random.Generator(np.random.PCG64(PERMUTATION_SEED)).permutation(self.vocab_size).astype(np.int32)

    @functools.cached_property
    def digits(self) -> UInt8[np.ndarray, "vocab digits"]:
        """The digit string of every id, the least significant digit first."""
        numbers = np.arange(self.vocab_size, dtype=np.int64)
        return self._string(self.permutation[numbers] if self.order == "permuted" else numbers)

    def _string(self, number: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n digits"]:
        digits = np.zeros((*number.shape, self.num_digits), np.uint8)
        for i in range(self.num_digits):
            rest = number // self.levels
            digit = number - rest * self.levels
            if self.order == "gray":
                digit = np.where(rest % 2, self.levels - 1 - digit, digit)
            digits[..., i] = digit
            number = rest
        return digits

    @functools.cached_property
    def palette(self) -> UInt8[np.ndarray, "vocab pixels 3"]:
        """The colours of every id."""
        return self.level_values[self.digits].reshape(self.vocab_size, self.pixels, 3)

    @functools.cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The digit strings of all ids, as disjoint boxes (see `nearest.py`)."""
        top = self.levels - 1
        boxes = []
        rest = self.vocab_size
        for i in range(self.num_digits + 1):
            rest, digit = divmod(rest, self.levels)
            if digit == 0:
                continue
            # The digits above i are those of vocab_size, digit i is any smaller one, the digits under i are
            # free.
            lower = self._string(np.array([rest * self.levels ** (i + 1)], np.int64))[0].astype(np.int32)
            upper = lower.copy()
            lower[:i], upper[:i] = 0, top
            if i < self.num_digits:
                reflected = self.order == "gray" and rest % 2
                lower[i : i + 1], upper[i] = (top - (digit - 1), top) if reflected else (0, digit - 1)
            boxes.append(Box(i, lower, upper))
        return tuple(boxes)

    def decode(self, rgb: Shaped[Array, "*batch pixels 3"]) -> tuple[Any, Any]:
        """The nearest legal id, int32 [*batch], and its margin, float32 [*batch] (1 perfect, 0 a tie).

        rgb is uint8, or float in [-1, 1]; whatever it holds, the ids are legal.
        """
        units: Float[Array, "*batch digits"] = to_units(rgb.reshape(*rgb.shape[:-2], self.num_digits))
        digits, margin = nearest_legal(units, self.levels, self.boxes)
        return self.ids_of(digits), margin

    def ids_of(self, digits: Int[Array, "*batch digits"]) -> Int[Array, "*batch"]:
        """The ids of legal digit strings, int32."""
        xp = digits.__array_namespace__()
        number = xp.zeros(digits.shape[:-1], xp.int32)
        for i in reversed(range(self.num_digits)):
            digit = digits[..., i].astype(xp.int32)
            if self.order == "gray":
                digit = xp.where(number % 2 == 1, self.levels - 1 - digit, digit)
            number = number * self.levels + digit
        return xp.asarray(self.id_of_number)[number] if self.order == "permuted" else number

    def decode_soft(
        self,
        rgb: Shaped[Array, "*batch pixels 3"],
        sigma: float | Float[Array, "*#batch"],
        log_prior: Float[Array, "vocab"] | None = None,
    ) -> Float[Array, "*batch vocab"]:
        """log p(id | rgb) in nats, for colours plus Gaussian noise of `sigma` on the scale [-1, 1]."""
        flat = rgb.reshape(*rgb.shape[:-2], self.num_digits)
        return log_posterior(flat, sigma, to_float(self.level_values), self.digits, log_prior)

    @functools.cached_property
    def id_of_number(self) -> Int[np.ndarray, "vocab"]:
        """The inverse of `permutation`."""
        return np.argsort(self.permutation).astype(np.int32)


def smallest_levels(vocab_size: int, pixels: int) -> int:
    """The smallest number of levels, 2 or more, whose strings of 3 · pixels digits hold the vocabulary."""
    levels = max(2, int(vocab_size ** (1 / (3 * pixels))))
    while levels ** (3 * pixels) < vocab_size:
        levels += 1
    return levels


def log_posterior(
    rgb: Shaped[Array, "*batch digits"],
    sigma: float | Float[Array, "*#batch"],
    levels: Float[np.ndarray, "levels"],
    digits: Shaped[np.ndarray, "vocab digits"],
    log_prior: Float[Array, "vocab"] | None = None,
) -> Float[Array, "*batch vocab"]:
    """log p(id | x) in nats for x = colour + sigma · ε, ε standard normal: exact, by Bayes' rule.

    Both rgb (or uint8) and `levels` are in [-1, 1]. The Gaussian factorises over digits, so that the
    likelihood of an id is a sum of entries of a table [digits, levels]. `log_prior` need not be normalised;
    None is uniform.
    """
    xp = rgb.__array_namespace__()
    x = to_float(rgb) if is_uint8(rgb) else xp.clip(xp.where(xp.isnan(rgb), 0, rgb), -1e4, 1e4)
    scale = xp.asarray(sigma, dtype=xp.float32)[..., None, None]
    # Differences are scaled before they are squared: 1 / sigma² overflows long before sigma is 0.
    apart = x.astype(xp.float32)[..., None] - _of_rank(x.ndim + 1, xp.asarray(levels))
    table = -0.5 * (apart / _of_rank(x.ndim + 1, scale)) ** 2
    total = sum(table[..., i, :][..., xp.asarray(digits[:, i].astype(np.int32))] for i in range(digits.shape[1]))
    if log_prior is not None:
        total = total + _of_rank(total.ndim, xp.asarray(log_prior, dtype=xp.float32))
    total = total - xp.max(total, axis=-1, keepdims=True)
    return total - xp.log(xp.sum(xp.exp(total), axis=-1, keepdims=True))


def _of_rank(rank: int, values: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The same with axes of size 1 in front, which a sum would add by itself, but not say."""
    return values.reshape(*[1] * (rank - values.ndim), *values.shape)

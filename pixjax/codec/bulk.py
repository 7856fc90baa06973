"""Batches of uint8 canvases in NumPy, painted and read at a good part of the speed of a copy.

A few canvases at a time, so that what is intermediate stays in the cache; the loop is over canvases, never over tokens.
The results are those of `ColorCode.encode` and `ColorCode.decode`, which serve JAX as well.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int, UInt8

from pixjax.codec.color import ColorCode
from pixjax.codec.nearest import nearest_level, to_units

_TOGETHER = 8  # canvases


@dataclasses.dataclass(frozen=True)
class BulkPainter:
    """A code on a canvas of `canvas_size` pixels a side, cell i lying at the flat pixels `cell_index[i]`."""

    code: ColorCode
    cell_index: Int[np.ndarray, "capacity pixels"]
    canvas_size: int

    def paint(self, ids: Int[np.ndarray, "n capacity"]) -> UInt8[np.ndarray, "n height width 3"]:
        """The canvases of ids in [0, vocab_size); pixels outside all cells are black."""
        area = self.canvas_size**2
        total = len(ids) * area
        words = np.empty(((total + 1) // 2, 3), "<u2")  # two pixels a row
        source = np.full((_TOGETHER, area), self._black, np.int32)
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            if self.code.pixels > 1:
                some = (some[..., None] * self.code.pixels + np.arange(self.code.pixels, dtype=np.int32)).reshape(len(some), -1)
            source[: len(some), self._pixels] = some
            here = words[start * area // 2 : (start + _TOGETHER) * area // 2]
            first, second = source.reshape(-1, 2)[: len(here)].T
            pairs = np.take(self._first_pixel, first)
            pairs |= np.take(self._second_pixel, second)
            quarters = pairs.view("<u2").reshape(-1, 4)
            for i in range(3):
                here[:, i] = quarters[:, i]
        return words.view(np.uint8).reshape(-1)[: 3 * total].reshape(len(ids), self.canvas_size, self.canvas_size, 3)

    def nearest_ids(self, canvases: UInt8[np.ndarray, "n height width 3"]) -> Int[np.ndarray, "n capacity"]:
        """The nearest legal id of every cell, int32, without its margin."""
        ids = np.empty((len(canvases), len(self.cell_index)), np.int32)
        for start in range(0, len(ids), _TOGETHER):
            some = canvases[start : start + _TOGETHER]
            number, illegal = self._numbers(self._pixel_numbers(some))
            target = ids[start : start + _TOGETHER]
            if illegal is None or not illegal.any():
                target[:] = self._named(number)
                continue
            target[:] = self._named(np.where(illegal, 0, number))
            which, cell = np.nonzero(illegal)
            pixels = some.reshape(len(some), -1, 3)
            target[illegal] = self.code.decode(pixels[which[:, None], self.cell_index[cell]])[0]
        return ids

    def _pixel_numbers(self, canvases: UInt8[np.ndarray, "n height width 3"]) -> Int[np.ndarray, "n capacity pixels"]:
        """The number that the digits of each pixel of every cell spell: d0 + levels · d1 + levels² · d2.

        Six bytes are two pixels, and three 16-bit words. Each word is looked up once; what it adds to the first pixel's
        number stands in the lower half of an int64, what it adds to the second's in the upper half.
        """
        flat = np.ascontiguousarray(canvases).reshape(-1)
        num_pixels = len(flat) // 3
        if num_pixels % 2:
            flat = np.append(flat, np.zeros(3, np.uint8))
        words = flat.view("<u2")
        first, middle, last = self._word_tables
        both = np.take(first, words[0::3])
        both += np.take(middle, words[1::3])
        both += np.take(last, words[2::3])
        numbers = both.view(np.int32)[:num_pixels].reshape(len(canvases), -1)
        return numbers[:, self._pixels].reshape(len(canvases), *self.cell_index.shape)

    @functools.cached_property
    def _word_tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        code = self.code
        digit = nearest_level(to_units(np.arange(256, dtype=np.uint8)), code.level_values).astype(np.int64)
        red, green, blue = digit, digit * code.levels, digit * code.levels**2
        second = 1 << 32  # the upper half, read as the next int32 on a little-endian machine
        # In a table over words, [:, None] is the word's second byte, as it varies slowest.
        return (
            (green[:, None] + red).reshape(-1),
            ((red * second)[:, None] + blue).reshape(-1),
            ((blue * second)[:, None] + green * second).reshape(-1),
        )

    def _numbers(
        self, pixel_numbers: Int[np.ndarray, "n capacity pixels"]
    ) -> tuple[Int[np.ndarray, "n capacity"], Bool[np.ndarray, "n capacity"] | None]:
        """What the digit strings count as, and which of them are no id's (None when every string is one's)."""
        code, used = self.code, self._used_pixels
        number = pixel_numbers[..., used - 1]
        number = np.take(self._counted, number) if code.order == "gray" else number
        for i in reversed(range(used - 1)):
            pixel = pixel_numbers[..., i]
            number = number.astype(np.int64)  # levels³ · 2²² at the most
            if code.order == "gray":
                pixel = np.take(self._counted, pixel + code.levels**3 * (number & 1))
            number = number * code.levels**3 + pixel
        if code.levels**code.num_digits == code.vocab_size:
            return number, None
        illegal = number >= code.vocab_size
        if used < code.pixels:
            illegal |= pixel_numbers[..., used:].any(axis=-1)
        return number, illegal

    def _named(self, number: Int[np.ndarray, "capacity"]) -> Int[np.ndarray, "capacity"]:
        return np.take(self.code.id_of_number, number) if self.code.order == "permuted" else number

    @functools.cached_property
    def _counted(self) -> Int[np.ndarray, "2*strings"]:
        """The number behind three Gray digits: first where the digits above count to an even number, then odd."""
        levels = self.code.levels
        number = np.arange(levels**3, dtype=np.int32)
        counted = []
        for above in (0, 1):
            value = np.full(len(number), above, np.int32)
            for place in (levels**2, levels, 1):
                digit = number // place % levels
                value = value * levels + np.where(value % 2, levels - 1 - digit, digit)
            counted.append(value - above * levels**3)
        return np.concatenate(counted)

    @functools.cached_property
    def _first_pixel(self) -> np.ndarray:
        """The three bytes of every pixel of every id, then of black, in the lower half of six bytes out of eight."""
        colors = self.code.codebook.reshape(-1, 3).astype(np.uint64)
        packed = colors[:, 0] | colors[:, 1] << np.uint64(8) | colors[:, 2] << np.uint64(16)
        return np.append(packed, np.uint64(0)).astype("<u8")

    @functools.cached_property
    def _second_pixel(self) -> np.ndarray:
        return self._first_pixel << np.uint64(24)

    @property
    def _black(self) -> int:
        return self.code.vocab_size * self.code.pixels

    @functools.cached_property
    def _pixels(self) -> slice | Int[np.ndarray, "pixels"]:
        """Where the pixels of all cells lie: a slice, which is faster, when they follow one another."""
        flat = self.cell_index.reshape(-1).astype(np.intp)
        return slice(flat[0], flat[-1] + 1) if (np.diff(flat) == 1).all() else flat

    @functools.cached_property
    def _used_pixels(self) -> int:
        """Pixels of a cell that are ever other than black."""
        used = 1
        while self.code.levels ** (3 * used) < self.code.vocab_size:
            used += 1
        return used

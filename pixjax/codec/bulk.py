"""Batches of uint8 canvases in NumPy, painted and read at a good part of the speed of a copy.

A few canvases at a time, so that what is intermediate stays in the cache; the loop is over canvases, never over tokens.
The results are those of `ColorCode.encode` and `ColorCode.decode`, which serve JAX as well.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8

from pixjax.codec.color import ColorCode
from pixjax.codec.nearest import nearest_level, to_units
from pixjax.codec.radix import RadixCode

_TOGETHER = 4  # canvases: what is intermediate stays in the cache, and below the size that malloc maps anew
_FEW = 8  # slices that are still faster than an index


@dataclasses.dataclass(frozen=True)
class BulkPainter:
    """A code on a canvas of `canvas_size` pixels a side, cell i lying at the flat pixels `cell_index[i]`.

    patch: (height, width) of the patches that are filled one after the other, (1, canvas_size) for raster order.
    """

    code: ColorCode
    cell_index: Int[np.ndarray, "capacity pixels"]
    canvas_size: int
    patch: tuple[int, int]

    def paint(self, ids: Integer[np.ndarray, "n capacity"]) -> UInt8[np.ndarray, "n height width 3"]:
        """The canvases of ids in [0, vocab_size); pixels outside all cells are black."""
        area, per_cell = self.canvas_size**2, self.code.pixels
        total = len(ids) * area
        canvases = np.empty((total + 1) // 2 * 6, np.uint8)  # room for an even number of pixels
        words = canvases.view("<u2").reshape(-1, 3)  # two pixels a row
        stream = np.empty((_TOGETHER, self.cell_index.size), np.int32)
        first, second = np.empty((2, _TOGETHER * area // 2), np.uint64)
        source = np.full((_TOGETHER, area), self.code.vocab_size * per_cell, np.int32)  # black where no cell is
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            first_of_cell = some * np.int32(per_cell) if per_cell > 1 else some
            for i in range(per_cell):
                np.add(first_of_cell, np.int32(i), out=stream[: len(some), i::per_cell])
            taken = 0
            for run in self._runs:
                length = source[0, run].size
                source[: len(some), run] = stream[: len(some), taken : taken + length]
                taken += length
            here = words[start * area // 2 : (start + _TOGETHER) * area // 2]
            pixels = self._as_canvases(source).reshape(-1)
            np.take(self._first_pixel, pixels[0::2], out=first, mode="clip")  # clip: spares a second pass of checks
            np.take(self._second_pixel, pixels[1::2], out=second, mode="clip")
            first |= second
            quarters = first.view("<u2").reshape(-1, 4)[: len(here)]
            for i in range(3):
                here[:, i] = quarters[:, i]
        return canvases[: 3 * total].reshape(len(ids), self.canvas_size, self.canvas_size, 3)

    def _as_canvases(self, pixels: Int[np.ndarray, "n pixels"]) -> Int[np.ndarray, "n height width"]:
        """From the order in which pixels are filled to their places."""
        (height, width), side = self.patch, self.canvas_size
        if height == 1 and width == side:
            return pixels.reshape(len(pixels), side, side)
        rows = pixels.view(f"V{pixels.itemsize * width}")  # a row of a patch is moved as a whole
        patches = rows.reshape(len(pixels), side // height, side // width, height)
        return patches.swapaxes(2, 3).ravel().view(pixels.dtype).reshape(len(pixels), side, side)

    def _as_filled(self, canvases: Int[np.ndarray, "n height width"]) -> Int[np.ndarray, "n pixels"]:
        """The inverse of `_as_canvases`."""
        (height, width), side = self.patch, self.canvas_size
        if height == 1 and width == side:
            return canvases.reshape(len(canvases), side * side)
        rows = canvases.view(f"V{canvases.itemsize * width}")
        patches = rows.reshape(len(canvases), side // height, height, side // width)
        return patches.swapaxes(2, 3).ravel().view(canvases.dtype).reshape(len(canvases), side * side)

    def nearest_ids(self, canvases: UInt8[np.ndarray, "n height width 3"]) -> Int[np.ndarray, "n capacity"]:
        """The nearest legal id of every cell, int32, without its margin."""
        ids = np.empty((len(canvases), len(self.cell_index)), np.int32)
        for start in range(0, len(ids), _TOGETHER):
            some = canvases[start : start + _TOGETHER]
            if not isinstance(self.code, RadixCode):
                ids[start : start + _TOGETHER] = self.code.decode(some.reshape(len(some), -1, 3)[:, self.cell_index])[0]
                continue
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
        both = np.take(first, words[0::3], mode="clip")
        both += np.take(middle, words[1::3], mode="clip")
        both += np.take(last, words[2::3], mode="clip")
        numbers = self._as_filled(both.view("<i4")[:num_pixels].reshape(canvases.shape[:3]))
        runs = [numbers[:, run] for run in self._runs]
        cells = runs[0] if len(runs) == 1 else np.concatenate(runs, axis=1)
        return cells.reshape(len(canvases), *self.cell_index.shape)

    @property
    def _radix(self) -> RadixCode:
        assert isinstance(self.code, RadixCode)
        return self.code

    @functools.cached_property
    def _word_tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        code = self._radix
        digit = nearest_level(to_units(np.arange(256, dtype=np.uint8)), code.levels).astype(np.int64)
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
        code, used = self._radix, self._used_pixels
        number = pixel_numbers[..., used - 1]
        number = np.take(self._counted, number) if code.order == "gray" else number
        for i in reversed(range(used - 1)):
            pixel = pixel_numbers[..., i]
            if code.levels**3 * (code.vocab_size + code.levels**3) >= 1 << 31:
                number = number.astype(np.int64)
            if code.order == "gray":
                pixel = np.take(self._counted, pixel + code.levels**3 * (number & 1))
            number = number * code.levels**3 + pixel
        if code.levels**code.num_digits == code.vocab_size:
            return number, None
        illegal = number >= code.vocab_size
        if used < code.pixels:
            illegal |= pixel_numbers[..., used:].any(axis=-1)
        return number, illegal

    def _named(self, number: Int[np.ndarray, "n capacity"]) -> Int[np.ndarray, "n capacity"]:
        return np.take(self._radix.id_of_number, number) if self._radix.order == "permuted" else number

    @functools.cached_property
    def _counted(self) -> Int[np.ndarray, "twice_the_strings"]:
        """The number behind three Gray digits: first where the digits above count to an even number, then odd."""
        levels = self._radix.levels
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
        colors = self.code.palette.reshape(-1, 3).astype(np.uint64)
        packed = colors[:, 0] | colors[:, 1] << np.uint64(8) | colors[:, 2] << np.uint64(16)
        return np.append(packed, np.uint64(0)).astype("<u8")

    @functools.cached_property
    def _second_pixel(self) -> np.ndarray:
        return self._first_pixel << np.uint64(24)

    @functools.cached_property
    def _runs(self) -> tuple[slice | Int[np.ndarray, "pixels"], ...]:
        """The pixels of all cells, in the order of filling: as a few slices, or else as one index."""
        order = self._as_filled(np.arange(self.canvas_size**2).reshape(1, self.canvas_size, self.canvas_size))[0]
        place = np.argsort(order)[self.cell_index.reshape(-1)]
        breaks = np.flatnonzero(np.diff(place) != 1) + 1
        if len(breaks) >= _FEW:
            return (place,)
        return tuple(slice(run[0], run[-1] + 1) for run in np.split(place, breaks))

    @functools.cached_property
    def _used_pixels(self) -> int:
        """Pixels of a cell that are ever other than black."""
        used = 1
        while self._radix.levels ** (3 * used) < self._radix.vocab_size:
            used += 1
        return used

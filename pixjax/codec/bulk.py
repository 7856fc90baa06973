"""Batches of uint8 canvases in NumPy, painted and read at a good part of the speed of a copy.

A few canvases at a time, so that what is intermediate stays in the cache; the loop is over canvases, never over tokens.
The results are those of `ColorCode.encode` and `ColorCode.decode`, which serve JAX as well.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8, UInt32

from pixjax.codec.color import ColorCode
from pixjax.codec.nearest import nearest_level, to_units
from pixjax.codec.radix import RadixCode

_TOGETHER = 8  # canvases: what is intermediate stays in the cache
_MOST_STRINGS = 1 << 24  # digit strings that a table may have


@dataclasses.dataclass(frozen=True)
class Runs:
    """Runs of `length` pixels that begin `step` pixels from one another, from pixel `start` to before `stop`."""

    start: int
    stop: int
    step: int
    length: int

    def of(self, pixels: Int[np.ndarray, "n pixels"] | UInt32[np.ndarray, "n pixels"]) -> np.ndarray:
        """A view [n, runs, length] of them."""
        return pixels[:, self.start : self.stop].reshape(len(pixels), -1, self.step)[..., : self.length]


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
        area = self.canvas_size**2
        canvases = np.empty(3 * len(ids) * area + 1, np.uint8)
        # Pixels are written one after the other, four bytes each: the fourth is where the next one begins. NumPy copies
        # in ascending order, which it does not promise: tests/codec/test_bulk.py would see another.
        overlapping = np.ndarray((len(ids), area), "<u4", canvases, strides=(3 * area, 3))
        filled = np.zeros((_TOGETHER, area), "<u4")  # black where no cell is
        for start in range(0, len(ids), _TOGETHER):
            some = ids[start : start + _TOGETHER]
            colors = np.take(self._colors, some, axis=0, mode="clip")  # clip: spares a second pass of checks
            colors, taken, pixels = colors.reshape(len(some), -1), 0, filled[: len(some)]
            for runs in self._runs:
                here = runs.of(pixels)
                count = here.shape[1] * here.shape[2]
                here[...] = colors[:, taken : taken + count].reshape(here.shape)
                taken += count
            overlapping[start : start + _TOGETHER] = self._as_canvases(pixels)
        return canvases[:-1].reshape(len(ids), self.canvas_size, self.canvas_size, 3)

    def _as_canvases(self, pixels: UInt32[np.ndarray, "n pixels"]) -> UInt32[np.ndarray, "n pixels"]:
        """From the order in which pixels are filled to their places."""
        (height, width), side = self.patch, self.canvas_size
        if height == 1 and width == side:
            return pixels
        rows = pixels.view(f"V{pixels.itemsize * width}")  # a row of a patch is moved as a whole
        patches = rows.reshape(len(pixels), side // height, side // width, height)
        return patches.swapaxes(2, 3).ravel().view(pixels.dtype).reshape(pixels.shape)

    def _as_filled(self, pixels: Int[np.ndarray, "n pixels"]) -> Int[np.ndarray, "n pixels"]:
        """The inverse of `_as_canvases`."""
        (height, width), side = self.patch, self.canvas_size
        if height == 1 and width == side:
            return pixels
        rows = pixels.view(f"V{pixels.itemsize * width}")
        patches = rows.reshape(len(pixels), side // height, height, side // width)
        return patches.swapaxes(2, 3).ravel().view(pixels.dtype).reshape(pixels.shape)

    def are_painted(
        self, canvases: UInt8[np.ndarray, "n height width 3"], ids: Int[np.ndarray, "n capacity"]
    ) -> Bool[np.ndarray, "n"]:
        """Which canvases are, in every byte, what `paint` makes of these ids."""
        same = np.empty(len(ids), bool)
        for start in range(0, len(ids), _TOGETHER):
            here = slice(start, start + _TOGETHER)
            equal = self.paint(ids[here]) == canvases[here]
            same[here] = equal.reshape(len(equal), -1).all(axis=1)
        return same

    def nearest_ids(self, canvases: UInt8[np.ndarray, "n height width 3"]) -> Int[np.ndarray, "n capacity"]:
        """The nearest legal id of every cell, int32, without its margin."""
        ids = np.empty((len(canvases), len(self.cell_index)), np.int32)
        for start in range(0, len(ids), _TOGETHER):
            some = canvases[start : start + _TOGETHER]
            target = ids[start : start + _TOGETHER]
            if not isinstance(self.code, RadixCode) or self._is_vast:
                target[:] = self.code.decode(some.reshape(len(some), -1, 3)[:, self.cell_index])[0]
                continue
            cells = self._cells(self._pixel_numbers(some))
            target[:] = number = self._numbers(cells)
            unused = [cells[..., i] for i in range(self._used_pixels, self.code.pixels)]  # black in a legal cell
            if number.max() < self.code.vocab_size and not any(pixel.max() for pixel in unused):
                continue
            illegal = number >= self.code.vocab_size
            for pixel in unused:
                illegal |= pixel > 0
            which, cell = np.nonzero(illegal)
            pixels = some.reshape(len(some), -1, 3)
            target[illegal] = self.code.decode(pixels[which[:, None], self.cell_index[cell]])[0]
        return ids

    def _pixel_numbers(self, canvases: UInt8[np.ndarray, "n height width 3"]) -> Int[np.ndarray, "n pixels"]:
        """The number that the digits of each pixel spell: d0 + levels · d1 + levels² · d2.

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
        return both.view("<i4")[:num_pixels].reshape(len(canvases), -1)

    def _cells(self, pixels: Int[np.ndarray, "n pixels"]) -> Int[np.ndarray, "n capacity pixels_of_cell"]:
        filled = self._as_filled(pixels)
        runs = [runs.of(filled).reshape(len(filled), -1) for runs in self._runs]
        cells = runs[0] if len(runs) == 1 else np.concatenate(runs, axis=1)
        return cells.reshape(len(filled), *self.cell_index.shape)

    def _numbers(self, cells: Int[np.ndarray, "n capacity pixels"]) -> Int[np.ndarray, "n capacity"]:
        """The id that each digit string is, or a number of `vocab_size` or above where it is none's."""
        code, used = self._radix, self._used_pixels
        number = cells[..., used - 1]
        if self._num_strings >= 1 << 31:
            number = number.astype(np.int64)
        for i in reversed(range(used - 1)):
            number = number * code.levels**3
            number += cells[..., i]
        return number if code.order == "counting" else np.take(self._id_of_string, number, mode="clip")

    @property
    def _radix(self) -> RadixCode:
        assert isinstance(self.code, RadixCode)
        return self.code

    @functools.cached_property
    def _colors(self) -> UInt32[np.ndarray, "vocab pixels"]:
        """The three bytes of every pixel of every id, and a fourth that is zero."""
        colors = np.zeros((*self.code.palette.shape[:2], 4), np.uint8)
        colors[..., :3] = self.code.palette
        return colors.view("<u4")[..., 0]

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

    @functools.cached_property
    def _used_pixels(self) -> int:
        """Pixels of a cell that are ever other than black."""
        used = 1
        while self._radix.levels ** (3 * used) < self._radix.vocab_size:
            used += 1
        return used

    @property
    def _num_strings(self) -> int:
        """Of digits of the pixels that are used."""
        return self._radix.levels ** (3 * self._used_pixels)

    @property
    def _is_vast(self) -> bool:
        """Whether ids do not count as their digits do, and there are too many digit strings for a table."""
        return self._radix.order != "counting" and self._num_strings > _MOST_STRINGS

    @functools.cached_property
    def _id_of_string(self) -> Int[np.ndarray, "strings"]:
        """The id of each digit string, by the number that it counts as; `vocab_size` where it is none's."""
        code = self._radix
        place = code.levels ** np.arange(3 * self._used_pixels)
        ids = np.full(self._num_strings, code.vocab_size, np.int32)
        ids[code.digits[:, : len(place)].astype(np.int64) @ place] = np.arange(code.vocab_size, dtype=np.int32)
        return ids

    @functools.cached_property
    def _runs(self) -> tuple[Runs, ...]:
        """The pixels of all cells, in the order of filling: neighbours that are alike as one."""
        area = self.canvas_size**2
        order = self._as_filled(np.arange(area)[None])[0]
        place = np.argsort(order)[self.cell_index.reshape(-1)]
        firsts = np.flatnonzero(np.diff(place, prepend=-2) != 1)
        starts, lengths = place[firsts].tolist(), np.diff(firsts, append=len(place)).tolist()
        runs: list[Runs] = []
        for start, length in zip(starts, lengths, strict=True):
            if runs and length == runs[-1].length:
                last = runs[-1]
                step = last.step if last.stop - last.start > last.step else start - last.start
                stop = last.start + ((last.stop - last.start) // last.step + 1) * step
                if start == stop - step and step >= length and stop <= area:
                    runs[-1] = Runs(start=last.start, stop=stop, step=step, length=length)
                    continue
            runs.append(Runs(start=start, stop=start + length, step=length, length=length))
        return tuple(runs)

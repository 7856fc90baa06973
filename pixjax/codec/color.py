"""A colour code: the map between token ids and the colours of a cell of so many pixels."""

import abc
import functools
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from pixjax.codec.scale import Array, is_uint8, to_float

_FAR = 1e4  # of a cell whose values are absurd, so that distances stay finite


class ColorCode(abc.ABC):
    """A code has `vocab_size` ids, a colour for each, `parse`, and its name in `CODES` of `codes.py`.

    The maps here go over all colours. A code that knows a shorter way to its nearest colour overrides them.
    """

    form: ClassVar[str]  # how it is written, for errors
    examples: ClassVar[tuple[str, ...]]  # which the tests of all codes go through; each holds 258 ids

    vocab_size: int
    pixels: int  # of the cell of a token

    @classmethod
    @abc.abstractmethod
    def parse(cls, text: str, vocab_size: int) -> "ColorCode | None":
        """None for a text that is not of this form; raises `InputError` where it does not hold the vocabulary."""

    @property
    @abc.abstractmethod
    def palette(self) -> UInt8[np.ndarray, "vocab pixels 3"]:
        """The colours of every id, all different. Computed once: a `functools.cached_property`."""

    @functools.cached_property
    def colors(self) -> Float[np.ndarray, "vocab pixels 3"]:
        """The colours of every id, in [-1, 1]."""
        return to_float(self.palette)

    def encode(self, ids: Int[Array, "*batch"]) -> UInt8[Array, "*batch pixels 3"]:
        """The colours of ids that lie in [0, vocab_size)."""
        return ids.__array_namespace__().asarray(self.palette)[ids]

    def decode(self, rgb: Shaped[Array, "*batch pixels 3"]) -> tuple[Any, Any]:
        """The nearest legal id, int32 [*batch], and its margin, float32 [*batch] (1 perfect, 0 a tie).

        rgb is uint8, or float in [-1, 1]; whatever it holds, the ids are legal.
        """
        xp = rgb.__array_namespace__()
        colors = xp.asarray(self.colors.reshape(self.vocab_size, 3 * self.pixels))
        distance = xp.sqrt(xp.sum(xp.square(self._apart(rgb)), axis=-1))
        ids = xp.argmin(distance, axis=-1)
        to_chosen = xp.min(distance, axis=-1)
        is_chosen = ids[..., None] == xp.arange(self.vocab_size).reshape(*[1] * ids.ndim, -1)
        others = xp.where(is_chosen, xp.inf, distance)
        other = xp.argmin(others, axis=-1)
        between = xp.sqrt(xp.sum(xp.square(colors[ids] - colors[other]), axis=-1))
        margin = (xp.min(others, axis=-1) - to_chosen) / between
        return ids.astype(xp.int32), margin.astype(xp.float32)

    def decode_soft(
        self,
        rgb: Shaped[Array, "*batch pixels 3"],
        sigma: float | Float[Array, "*#batch"],
        log_prior: Float[Array, "vocab"] | None = None,
    ) -> Float[Array, "*batch vocab"]:
        """log p(id | rgb) in nats, for colours plus Gaussian noise of `sigma` on the scale [-1, 1]."""
        xp = rgb.__array_namespace__()
        apart = self._apart(rgb)
        scale = xp.asarray(sigma, dtype=xp.float32)[..., None, None]
        scale = scale.reshape(*[1] * (apart.ndim - scale.ndim), *scale.shape)
        total = -0.5 * xp.sum(xp.square(apart / scale), axis=-1)
        if log_prior is not None:
            prior = xp.asarray(log_prior, dtype=xp.float32)
            total = total + prior.reshape(*[1] * (total.ndim - 1), -1)
        total = total - xp.max(total, axis=-1, keepdims=True)
        return total - xp.log(xp.sum(xp.exp(total), axis=-1, keepdims=True))

    def _apart(self, rgb: Shaped[Array, "*batch pixels 3"]) -> Float[Array, "*batch vocab digits"]:
        """The difference of a cell from the colours of every id."""
        xp = rgb.__array_namespace__()
        x = to_float(rgb) if is_uint8(rgb) else xp.clip(xp.where(xp.isnan(rgb), 0, rgb), -_FAR, _FAR)
        x = x.astype(xp.float32).reshape(*x.shape[:-2], 1, 3 * self.pixels)
        colors = xp.asarray(self.colors.reshape(self.vocab_size, 3 * self.pixels))
        return x - colors.reshape(*[1] * (x.ndim - 2), *colors.shape)

"""The canvases of a batch that may be text: the layers for text leave out those that are known to be images."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Shaped


@dataclasses.dataclass(frozen=True)
class TextRows:
    """A batch is runs of `period` canvases, of which those at `places` may be text; all may, unless it is said.

    Runs, and not places in the batch, so that each of the devices that hold a whole number of runs finds its own text
    among what it holds.
    """

    period: int = 1
    places: tuple[int, ...] = (0,)

    @property
    def are_all(self) -> bool:
        return len(self.places) == self.period

    def of(self, x: Shaped[Array, "batch ..."]) -> Shaped[Array, "text ..."]:
        """What belongs to them."""
        return x if self.are_all else self._runs(x)[:, self._index].reshape(-1, *x.shape[1:])

    def replace(
        self, x: Shaped[Array, "batch ..."], which: Bool[Array, " batch"], values: Shaped[Array, "text ..."]
    ) -> Shaped[Array, "batch ..."]:
        """`x` with these values of them in its place, for those `which` are wanted."""
        which = self.of(which).reshape(-1, *[1] * (x.ndim - 1))
        values = jnp.where(which, values, self.of(x))
        if self.are_all:
            return values
        runs = self._runs(x)
        return runs.at[:, self._index].set(values.reshape(len(runs), -1, *x.shape[1:])).reshape(x.shape)

    def _runs(self, x):
        return x.reshape(-1, self.period, *x.shape[1:])

    @property
    def _index(self):
        return np.array(self.places, int)


ANY_ROW = TextRows()

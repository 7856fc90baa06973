"""The text head: from the posterior of each cell to the tokens of patches, and from these to the ids of cells.

A patch holds a run of letters, and a transformer over patches has to learn the same spelling once for each place in
a patch. Here every cell is mixed with its neighbours by the same weights, wherever it is: a residual convolution over
the reading order, which also crosses the borders of patches.
"""

import dataclasses
from collections.abc import Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pixjax.config import ModelConfig
from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.diffusion.posterior import Palette
from pixjax.models.dense import Axes, Dense, precision_of, product
from pixjax.models.on_mesh import by_canvas
from pixjax.models.patches import patchify, unpatchify

_xavier = nn.initializers.xavier_uniform()

Cells = Float[Array, "batch cells values"]


class CellBlock(nn.Module):
    """x + f(x and its neighbours)."""

    config: ModelConfig

    @nn.compact
    def __call__(
        self, x: Cells, clean: Cells | None = None, order: DecisionOrder | None = None
    ) -> Cells | tuple[Cells, Cells]:
        """Of a canvas that is decided in an order, two streams by the same weights: the noisy cells and the clean ones.

        A noisy cell sees noisy neighbours of its own block and clean ones of earlier blocks; a clean one sees clean
        ones up to its own block.
        """
        config, width, reach = self.config, x.shape[-1], self.config.cell_reach
        norm = nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32, name="norm")
        mix = _Mix(2 * reach + 1, 2 * width, config.dtype, name="mix")
        out = Dense(width, (None, "embed"), dtype=config.dtype, kernel_init=nn.initializers.zeros_init(), name="out")

        def finish(mixed):
            return out(nn.silu(by_canvas(mixed))).astype(jnp.float32)

        h = norm(x).astype(config.dtype)
        if clean is None or order is None:
            return x + finish(mix(_around(h, reach)))
        g = norm(clean).astype(config.dtype)
        if order.block == 1:  # both streams see the same cells before, and beside them their own
            later = [None] * (reach + 1)
            before = mix([*_around(g, reach)[:reach], *later])
            own = [mix([*later[1:], stream, *later[1:]], bias=False) for stream in (h, g)]
            return x + finish(before + own[0]), clean + finish(before + own[1])
        noisy_around, clean_around = [], []
        for distance, noisy_there, clean_there in zip(
            range(-reach, reach + 1), _around(h, reach), _around(g, reach), strict=True
        ):
            same, earlier = (where[:, None] for where in order.tap(distance))
            noisy_around.append(jnp.where(same, noisy_there, jnp.where(earlier, clean_there, 0)))
            clean_around.append(jnp.where(same | earlier, clean_there, 0))
        return x + finish(mix(noisy_around)), clean + finish(mix(clean_around))


class _Mix(nn.Module):
    """A dense layer over the cells around; those that are None are zeros and cost nothing."""

    taps: int
    features: int
    dtype: DTypeLike
    axes: Axes = (None, "embed")

    @nn.compact
    def __call__(
        self, around: Sequence[Float[Array, "batch cells width"] | None], bias: bool = True
    ) -> Float[Array, "batch cells features"]:
        present = {tap: there for tap, there in enumerate(around) if there is not None}
        given, cells = list(present), jnp.concatenate(list(present.values()), axis=-1)
        width = cells.shape[-1] // len(given)
        kernel = self.param("kernel", _xavier, (self.taps * width, self.features))
        offset = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        if len(given) < self.taps:
            kernel = jnp.concatenate([kernel[tap * width : (tap + 1) * width] for tap in given])
        cells, kernel, offset = promote_dtype(cells, kernel, offset, dtype=self.dtype)
        mixed = product(cells, kernel)
        return mixed + offset[None, None] if bias else mixed


def _around(cells, reach: int) -> list:
    """For each distance from -reach to reach, the cell there; zeros beyond both ends."""
    padded = jnp.pad(cells, ((0, 0), (reach, reach), (0, 0)))
    return [padded[:, first : first + cells.shape[1]] for first in range(2 * reach + 1)]


def next_cell(
    config: ModelConfig,
    params: dict,
    before: Float[Array, "batch reach width"],
    x: Float[Array, "batch width"],
) -> tuple[Float[Array, "batch width"], Float[Array, "batch reach width"]]:
    """`CellBlock` letter by letter: one cell, noisy or clean, from the clean ones before it.

    Args:
      params: of the `CellBlock`.
      before: as this returned it for the cell before; zeros before the first.

    Returns:
      What the layer makes of the cell, and what the next one is given if this one is clean.
    """
    width, reach = x.shape[-1], config.cell_reach
    norm = nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32)
    h = cast(Array, norm.apply({"params": params["norm"]}, x)).astype(config.dtype)
    around = [*jnp.moveaxis(before, 1, 0)[:, :, None], h[:, None], *[None] * reach]
    mix = _Mix(2 * reach + 1, 2 * width, config.dtype)
    mixed = cast(Array, mix.apply({"params": params["mix"]}, around))
    out = nn.Dense(width, dtype=config.dtype, precision=precision_of(config.dtype))
    heard = cast(Array, out.apply({"params": params["out"]}, nn.silu(mixed[:, 0])))
    return x + heard.astype(jnp.float32), jnp.concatenate([before[:, 1:], h[:, None]], axis=1)


_zeros = nn.initializers.zeros_init()

LogProbs = Float[Array, "batch cells vocab"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextHead:
    """Made within a module, whose parameters they are; `below` the transformer and above it, where text is read.

    Of a canvas that is decided in an order there are two streams of cells, noisy and clean, through the same layers.
    """

    config: ModelConfig
    palette: Palette
    enter: Dense
    layers_below: tuple[CellBlock, ...]
    embed_ids: Dense
    out_ids: Dense
    layers_above: tuple[CellBlock, ...]
    leave: Dense

    @classmethod
    def of(cls, config: ModelConfig, palette: Palette) -> "TextHead":
        values = config.cell_width if config.cell_layers else palette.vocab_size
        pixels, layers = config.patch[0] * config.patch[1], range(config.cell_layers)
        return cls(
            config=config,
            palette=palette,
            enter=Dense(config.cell_width, (None, None), kernel_init=_xavier, name="cells_in"),
            layers_below=tuple(CellBlock(config, name=f"cells_below_{layer}") for layer in layers),
            embed_ids=Dense(
                config.width, (None, "embed"), use_bias=False, dtype=config.dtype, kernel_init=_xavier, name="embed_ids"
            ),
            out_ids=Dense(pixels * values, (None, "embed"), kernel_init=_zeros, name="out_ids"),
            layers_above=tuple(CellBlock(config, name=f"cells_above_{layer}") for layer in layers),
            leave=Dense(palette.vocab_size, (None, None), kernel_init=_zeros, name="cells_out"),
        )

    def below(self, log_posterior: LogProbs) -> Cells:
        """What the pixels of each cell say of it, and with `ModelConfig.cell_layers` also those of its neighbours."""
        cells = jnp.exp(log_posterior)
        if self.config.cell_layers:
            cells = self.enter(cells)
            for layer in self.layers_below:
                cells = cast(Cells, layer(cells))
        return cells

    def below_in_order(self, log_posterior: LogProbs, clean, order: DecisionOrder) -> tuple[Cells, Cells]:
        """The same, of noisy cells and of those of a clean canvas."""
        ids, _ = self.palette.codec.decode_ids(clean)
        noisy_cells, clean_cells = jnp.exp(log_posterior), jax.nn.one_hot(ids, self.palette.vocab_size)
        if self.config.cell_layers:
            noisy_cells, clean_cells = self.enter(noisy_cells), self.enter(clean_cells)
            for layer in self.layers_below:
                noisy_cells, clean_cells = layer(noisy_cells, clean_cells, order)
        return noisy_cells, clean_cells

    def embed(self, cells: Cells) -> Float[Array, "batch tokens width"]:
        """The cells of each patch as a token."""
        patches = patchify(self.palette.at_pixels(cells), self.config.patch).astype(self.config.dtype)
        return by_canvas(self.embed_ids(patches).astype(jnp.float32))

    def read(self, x_BND, cells: Cells, log_posterior: LogProbs) -> LogProbs:
        """log p(id) of each cell: the network's logits, from its tokens and what came from below, and the posterior."""
        above = self._say(x_BND)
        if self.config.cell_layers:
            above += cells
            for layer in self.layers_above:
                above = cast(Cells, layer(above))
            above = self.leave(above)
        return jax.nn.log_softmax(above + log_posterior)

    def read_in_order(
        self, x_BND, cells: Cells, clean_cells: Cells, log_posterior: LogProbs, order: DecisionOrder
    ) -> LogProbs:
        """The same, from the tokens of the noisy patches and, where there are such, of the clean ones after them."""
        if order.is_within_patches:
            # The clean patch holds later cells of itself: its own cells may not hear of it.
            above = above_clean = self._say(x_BND)
        else:
            above, above_clean = (self._say(x) for x in jnp.split(x_BND, 2, axis=1))
        if self.config.cell_layers:
            above, above_clean = above + cells, above_clean + clean_cells
            for layer in self.layers_above:
                above, above_clean = layer(above, above_clean, order)
            above = self.leave(above)
        return jax.nn.log_softmax(above + log_posterior)

    def _say(self, x_BND) -> Cells:
        """What the tokens say of each cell."""
        said = by_canvas(self.out_ids(x_BND))
        return self.palette.of_cells(unpatchify(said, self.config.patch, self.config.grid))

"""Layers for text: from the posterior of each cell to the tokens of patches, and from these to the ids of cells."""

import dataclasses
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.models.cells import CellBlock
from pixjax.models.codebook import Codebook
from pixjax.models.dense import dense
from pixjax.models.on_mesh import by_canvas
from pixjax.models.patches import patchify, unpatchify
from pixjax.models.presets import Architecture

_xavier = nn.initializers.xavier_uniform()
_zeros = nn.initializers.zeros_init()

Cells = Float[Array, "batch cells values"]
LogProbs = Float[Array, "batch cells vocab"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextLayers:
    """Made within a module, whose parameters they are; `below` the transformer and above it, where text is read.

    Of a canvas that is decided in an order there are two streams of cells, noisy and clean, through the same layers.
    """

    arch: Architecture
    codebook: Codebook
    enter: nn.Dense
    layers_below: tuple[CellBlock, ...]
    embed_ids: nn.Dense
    out_ids: nn.Dense
    layers_above: tuple[CellBlock, ...]
    leave: nn.Dense

    @classmethod
    def of(cls, arch: Architecture, codebook: Codebook) -> "TextLayers":
        values = arch.cell_width if arch.cell_layers else codebook.vocab_size
        pixels, layers = arch.patch[0] * arch.patch[1], range(arch.cell_layers)
        return cls(
            arch=arch,
            codebook=codebook,
            enter=dense(arch.cell_width, kernel_init=_xavier, name="cells_in"),
            layers_below=tuple(CellBlock(arch, name=f"cells_below_{layer}") for layer in layers),
            embed_ids=dense(arch.width, use_bias=False, dtype=arch.dtype, kernel_init=_xavier, name="embed_ids"),
            out_ids=dense(pixels * values, kernel_init=_zeros, name="out_ids"),
            layers_above=tuple(CellBlock(arch, name=f"cells_above_{layer}") for layer in layers),
            leave=dense(codebook.vocab_size, kernel_init=_zeros, name="cells_out"),
        )

    def below(self, log_posterior: LogProbs) -> Cells:
        """What the pixels of each cell say of it, and with `Architecture.cell_layers` also those of its neighbours."""
        cells = jnp.exp(log_posterior)
        if self.arch.cell_layers:
            cells = self.enter(cells)
            for layer in self.layers_below:
                cells = cast(Cells, layer(cells))
        return cells

    def below_in_order(self, log_posterior: LogProbs, clean, order: DecisionOrder) -> tuple[Cells, Cells]:
        """The same, of noisy cells and of those of a clean canvas."""
        ids, _ = self.codebook.codec.decode_ids(clean)
        noisy_cells, clean_cells = jnp.exp(log_posterior), jax.nn.one_hot(ids, self.codebook.vocab_size)
        if self.arch.cell_layers:
            noisy_cells, clean_cells = self.enter(noisy_cells), self.enter(clean_cells)
            for layer in self.layers_below:
                noisy_cells, clean_cells = layer(noisy_cells, clean_cells, order)
        return noisy_cells, clean_cells

    def embed(self, cells: Cells) -> Float[Array, "batch tokens width"]:
        """The cells of each patch as a token."""
        patches = patchify(self.codebook.at_pixels(cells), self.arch.patch).astype(self.arch.dtype)
        return by_canvas(self.embed_ids(patches).astype(jnp.float32))

    def read(self, x_BND, cells: Cells, log_posterior: LogProbs) -> LogProbs:
        """log p(id) of each cell: the network's logits, from its tokens and what came from below, and the posterior."""
        above = self._say(x_BND)
        if self.arch.cell_layers:
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
        if self.arch.cell_layers:
            above, above_clean = above + cells, above_clean + clean_cells
            for layer in self.layers_above:
                above, above_clean = layer(above, above_clean, order)
            above = self.leave(above)
        return jax.nn.log_softmax(above + log_posterior)

    def _say(self, x_BND) -> Cells:
        """What the tokens say of each cell."""
        said = by_canvas(self.out_ids(x_BND))
        return self.codebook.of_cells(unpatchify(said, self.arch.patch, self.arch.grid))

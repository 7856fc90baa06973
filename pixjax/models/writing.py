"""Text letter by letter: each cell is drawn from what the network says of it, given those before it.

What the network made of the cells before is kept: keys and values of each patch, and the last few cells before each
layer over cells. A canvas costs one pass then, however many cells it has. The numbers are those of `JiT.predict` with
the order of blocks of one cell, to rounding.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.diffusion.posterior import Palette
from pixjax.models.blocks import Block, Past, modulate
from pixjax.models.dense import precision_of
from pixjax.models.jit import NO_TYPE, Context, JiT, Params
from pixjax.models.patches import patchify, rope_angles, sincos_table, time_features
from pixjax.models.text_head import next_cell


class Draw(NamedTuple):
    """How ids are drawn."""

    temperature: float | Float[Array, ""] = 1.0  # 0: always the likeliest
    top_p: float | Float[Array, ""] = 1.0  # of the likeliest ids that together have this share, the rest never


class Drawn(NamedTuple):
    ids: Int[Array, "batch cells"]
    log_probs: Float[Array, "batch cells"]  # of each id under the network, whatever `Draw` says


def write(
    model: JiT,
    params: Params,
    order: DecisionOrder,
    keys: Any,
    given: Int[Array, "batch cells"],
    is_given: Bool[Array, "batch cells"],
    draw: Draw | None = None,
    type_id: Int[Array, " batch"] | None = None,
    label: Int[Array, " batch"] | None = None,
    context: Context | None = None,
) -> Drawn:
    """Canvases of text, of which some cells may be given, and are heard by those after them.

    Args:
      order: of blocks of one cell.
      keys: one a canvas.
    """
    network = _Network(model, params, order)
    condition = network.condition(len(given), type_id, label)
    past, present = network.remember(condition, context)
    c_of_clean = (network.embed_time(jnp.ones(1)) + condition)[:, None]
    config, book = model.config, network.palette
    histories = jnp.zeros((2, config.cell_layers, len(given), config.cell_reach, network.values), config.dtype)
    first = jnp.broadcast_to(params["first_patch"], (len(given), 1, config.width))

    def write_patch(carry, patch):
        past, token, histories, number = carry
        token_out, past = network.next_patch(past, token, c_of_clean, number, present)
        said = network.say(token_out, c_of_clean, patch["pixels"])  # [batch, slots, values]
        unknown = jnp.full((len(given), book.vocab_size), 1 / book.vocab_size)

        def write_cell(carry, slot):
            below_before, above_before = carry
            here, of_cell = slot["is_cell"], slot["said"]
            _, log_probs, _ = network.cell(unknown, of_cell, below_before, above_before)
            drawn = jax.vmap(functools.partial(_draw, draw=draw or Draw()))(log_probs, _fold(keys, slot["cell"]))
            ids = jnp.where(slot["is_given"], slot["given"], drawn)
            clean = jax.nn.one_hot(ids, book.vocab_size)
            below, _, after = network.cell(clean, of_cell, below_before, above_before)
            kept = jax.tree.map(lambda new, old: jnp.where(here, new, old), after, (below_before, above_before))
            chosen = jnp.take_along_axis(log_probs, ids[:, None], axis=-1)[:, 0]
            return kept, (ids, chosen, jnp.where(here, below, 0.0))

        index = patch["cells"]  # [slots], clipped where there is none
        slots = {
            "is_cell": patch["is_cell"], "cell": index, "said": jnp.moveaxis(said, 1, 0),
            "given": given[:, index].T, "is_given": is_given[:, index].T,
        }  # fmt: skip
        histories, (ids, log_probs, below) = jax.lax.scan(write_cell, tuple(histories), slots)
        token = network.embed_patch(ids.T, jnp.moveaxis(below, 0, 1), patch) + network.table[number][None]
        return (past, token[:, None], jnp.stack(histories), number + 1), (ids, log_probs)

    start = (past, first, histories, jnp.zeros((), jnp.int32))
    _, (ids, log_probs) = jax.lax.scan(write_patch, start, network.places)

    def by_cell(values):  # [patches, slots, batch]
        return values.reshape(-1, len(given))[network.slot_of_cell].T

    return Drawn(ids=by_cell(ids), log_probs=by_cell(log_probs))


def _fold(keys, cell):
    return jax.vmap(lambda key: jax.random.fold_in(key, cell))(keys)


def _draw(log_probs: Float[Array, " vocab"], key, *, draw: Draw) -> Int[Array, ""]:
    temperature = jnp.maximum(draw.temperature, 1e-6)
    logits = jax.nn.log_softmax(log_probs / temperature)
    ranked = jnp.sort(logits, descending=True)
    before = jnp.cumsum(jnp.exp(ranked)) - jnp.exp(ranked)
    least = jnp.min(jnp.where(before < draw.top_p, ranked, jnp.inf))
    drawn = jax.random.categorical(key, jnp.where(logits >= least, logits, -jnp.inf))
    return jnp.where(draw.temperature > 0, drawn, jnp.argmax(log_probs)).astype(jnp.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class _Network:
    """The layers of a `JiT`, one token or cell at a time."""

    model: JiT
    params: Params
    order: DecisionOrder

    @property
    def palette(self) -> Palette:
        assert self.model.palette is not None
        return self.model.palette

    @property
    def values(self) -> int:
        return self.model.config.cell_width if self.model.config.cell_layers else self.palette.vocab_size

    @property
    def num_patches(self) -> int:
        return self.model.config.grid[0] * self.model.config.grid[1]

    @functools.cached_property
    def table(self):
        return jnp.asarray(sincos_table(*self.model.config.grid, self.model.config.width))

    @functools.cached_property
    def slot_of_cell(self) -> Int[np.ndarray, " cells"]:
        order = self.order
        in_patch = np.arange(len(order.patch_of_cell)) - np.searchsorted(order.patch_of_cell, order.patch_of_cell)
        return order.patch_of_cell * order.cells_per_patch + in_patch

    @functools.cached_property
    def places(self) -> dict[str, Any]:
        """For each slot of each patch its cell, whether there is one, and its pixels within the patch."""
        config, codec, slots = self.model.config, self.palette.codec, self.order.cells_per_patch
        row, column = np.divmod(codec.cell_index, codec.canvas_size)
        in_patch = row % config.patch[0] * config.patch[1] + column % config.patch[1]
        shape = (self.num_patches * slots,)
        cells, is_cell = np.zeros(shape, np.int32), np.zeros(shape, bool)
        pixels = np.zeros((*shape, in_patch.shape[1]), np.int32)
        cells[self.slot_of_cell], is_cell[self.slot_of_cell] = np.arange(len(row)), True
        pixels[self.slot_of_cell] = in_patch
        parted = {"cells": cells, "is_cell": is_cell, "pixels": pixels}
        return {name: jnp.asarray(x.reshape(self.num_patches, slots, *x.shape[1:])) for name, x in parted.items()}

    def dense(self, name: str, x, dtype: Any = jnp.float32):
        p = self.params[name]
        layer = nn.Dense(p["kernel"].shape[-1], use_bias="bias" in p, dtype=dtype, precision=precision_of(dtype))
        return layer.apply({"params": p}, x)

    def embed_time(self, t):
        return self.dense("time_out", nn.silu(self.dense("time_in", time_features(t))))

    def condition(self, batch: int, type_id, label):
        config, condition = self.model.config, jnp.zeros((batch, self.model.config.width))
        if config.uses_condition and type_id is not None:
            table = self.params["type_embedding"]
            condition += jnp.where((type_id > NO_TYPE)[:, None], table[jnp.maximum(type_id, 0)], 0.0)
        if config.num_classes:
            label = jnp.full(batch, -1) if label is None else label
            condition += self.params["class_embedding"][jnp.where(label < 0, config.num_classes, label)]
        return condition

    def remember(self, condition, context: Context | None):
        """The `past` of every layer with in-context tokens and context in it, and which of all tokens are there."""
        config, batch = self.model.config, len(condition)
        c_clean, c_page = self.embed_time(jnp.ones(1)) + condition, self.embed_time(jnp.ones(1))
        c_BCD = jnp.stack([c_clean, jnp.broadcast_to(c_page, c_clean.shape)], axis=1)
        pages = jnp.zeros((batch, 0, config.width))
        present = jnp.ones((batch, 0), bool)
        if context is not None:
            pages, present = self._pages(context)
        page_angles = np.tile(self._angles, (pages.shape[1] // self.num_patches, 1))
        start = config.in_context_start if config.in_context_tokens else 0
        x, kept = pages, {}
        for name, first, last in (("blocks_before", 0, start), ("blocks", start, config.depth)):
            if first == last:
                continue
            leading = 0
            if name == "blocks" and config.in_context_tokens:
                leading = config.in_context_tokens
                x = jnp.concatenate([condition[:, None] + self.params["in_context_position"][None], x], axis=1)
            angles = np.concatenate([np.zeros((leading, self._angles.shape[1]), np.float32), page_angles])
            there = jnp.concatenate([jnp.ones((batch, leading), bool), present], axis=1)
            room = there.shape[1] + self.num_patches
            shape = (last - first, batch, room, config.heads, config.head_width)
            empty = jnp.zeros(shape, config.dtype)
            everywhere = jnp.concatenate([there, jnp.ones((batch, self.num_patches), bool)], axis=1)
            if there.shape[1]:
                visible = jnp.arange(room)[None] < there.shape[1]
                visible = jnp.broadcast_to(visible, (there.shape[1], room))
                runs = (leading, pages.shape[1])
                x, kept[name] = self._through(
                    name, x, c_BCD, runs, angles, everywhere, visible, (empty, empty), jnp.zeros((), jnp.int32)
                )
            else:
                kept[name] = (empty, empty)
            x = x[:, leading:] if name == "blocks_before" else x
            kept[f"{name}_present"] = everywhere
        present_of = {name: kept.pop(f"{name}_present") for name in list(kept) if not name.endswith("_present")}
        return kept, present_of

    def _pages(self, context: Context):
        config = self.model.config
        batch, pages, *canvas = context.canvases.shape
        flat = patchify(context.canvases.reshape(batch * pages, *canvas), config.patch)
        clean = (self._embed_pixels(flat) + self.table[None]).reshape(batch, pages, -1, config.width)
        clean += self.params["context_segment"][None, :pages, None]
        if context.modality is not None:
            table = self.params["context_modality"]
            said = jnp.where((context.modality >= 0)[..., None], table[jnp.maximum(context.modality, 0)], 0.0)
            clean += said[:, :, None]
        clean = jnp.where(context.present[..., None, None], clean, 0.0)
        return clean.reshape(batch, -1, config.width), jnp.repeat(context.present, self.num_patches, axis=1)

    def _embed_pixels(self, flat):
        config = self.model.config
        hidden = self.dense("embed_in", flat.astype(config.dtype), config.dtype)
        return self.dense("embed_out", hidden, config.dtype).astype(jnp.float32)

    @functools.cached_property
    def _angles(self) -> Float[np.ndarray, "patches pairs"]:
        return rope_angles(*self.model.config.grid, self.model.config.head_width, kind=self.model.config.rope)

    @functools.cached_property
    def _token_angles(self):
        return jnp.asarray(np.concatenate([np.zeros_like(self._angles[:1]), self._angles[:-1]]))

    def _through(self, name, x, c_BCD, runs, angles, present, visible, kept, place):
        """Tokens through a stack of blocks, and the keys and values of it with theirs from `place` on."""
        if 0 in runs:
            c_BCD = jnp.stack([c_BCD[:, i] for i, n in enumerate(runs) if n], axis=1)
            runs = tuple(n for n in runs if n)
        block = Block(self.model.config, True, runs)
        image = jnp.zeros(x.shape[:2], bool)

        def one(x, layer):
            params, k, v = layer
            rest = (jnp.zeros((), bool), c_BCD, jnp.asarray(angles), present, visible, image, Past(k, v, place))
            x, past = cast(tuple[Array, Past], block.apply({"params": params}, x, *rest))
            return x, (past.k_BMHK, past.v_BMHK)

        return jax.lax.scan(one, x, (self.params[name], *kept))

    def next_patch(self, kept, token, c_of_clean, number, present):
        """The token of a patch, from that of the one before, and what is kept for the next."""
        angles = jax.lax.dynamic_slice_in_dim(self._token_angles, number, 1)
        after = {}
        for name, there in present.items():
            place = there.shape[1] - self.num_patches + number
            visible = jnp.arange(there.shape[1])[None] <= place
            token, after[name] = self._through(name, token, c_of_clean, (1,), angles, there, visible, kept[name], place)
        return token, after

    def say(self, token, c_of_clean, pixels):
        """What a token says of each slot of the patch, [batch, slots, values]."""
        shift, scale = jnp.split(self.dense("out_modulation", nn.silu(c_of_clean)), 2, axis=-1)
        normed = nn.RMSNorm(epsilon=1e-6, dtype=jnp.float32).apply({"params": self.params["out_norm"]}, token)
        said = self.dense("out_ids", modulate(normed, shift, scale))
        said = said.reshape(len(token), -1, self.values)
        return said[:, pixels].sum(axis=2)

    def cell(self, shown, said, below_before, above_before):
        """One cell through the layers below and above: what is below, log p of its ids, and what the next is given."""
        config = self.model.config
        after: tuple[list[Array], list[Array]] = ([], [])
        below = shown
        if config.cell_layers:
            below = self.dense("cells_in", shown)
            for layer in range(config.cell_layers):
                params = self.params[f"cells_below_{layer}"]
                below, next_before = next_cell(config, params, below_before[layer], below)
                after[0].append(next_before)
        above = said
        if config.cell_layers:
            above = above + below
            for layer in range(config.cell_layers):
                params = self.params[f"cells_above_{layer}"]
                above, next_before = next_cell(config, params, above_before[layer], above)
                after[1].append(next_before)
            above = self.dense("cells_out", above)
        kept = tuple(jnp.stack(each) for each in after) if config.cell_layers else (below_before, above_before)
        return below, jax.nn.log_softmax(above), kept

    def embed_patch(self, ids, below, patch):
        """A clean patch as a token, [batch, width]; `ids` and `below` are of its slots."""
        config, book, batch = self.model.config, self.palette, len(ids)
        size = config.patch[0] * config.patch[1]
        # What is no cell is black, and says nothing; slots without a cell are written where nobody looks.
        where = jnp.where(patch["is_cell"][:, None], patch["pixels"], size).reshape(-1)
        colors = jnp.asarray(book.codec.colors)[ids].reshape(batch, -1, 3)
        flat = jnp.full((batch, size + 1, 3), -1.0).at[:, where].set(colors)[:, :size]
        repeated = jnp.repeat(below, patch["pixels"].shape[1], axis=1)
        values = jnp.zeros((batch, size + 1, below.shape[-1])).at[:, where].set(repeated)[:, :size]
        said = self.dense("embed_ids", values.reshape(batch, -1).astype(config.dtype), config.dtype).astype(jnp.float32)
        return self._embed_pixels(flat.reshape(batch, -1)) + said

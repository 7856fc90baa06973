"""JiT, "just image transformers" (arXiv 2511.13720): plain blocks over pixel patches that predict the clean canvas.

Shape suffixes: B batch, N tokens, D width, H heads, K head width. Parameters are float32; matrix products run in
`Architecture.dtype`; norms, softmax, rotations and the output layer run in float32.
"""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import IMAGE
from pixjax.models.blocks import Block, modulate, norm
from pixjax.models.cells import CellBlock
from pixjax.models.codebook import Codebook
from pixjax.models.dense import dense
from pixjax.models.on_mesh import by_canvas
from pixjax.models.patches import patchify, unpatchify
from pixjax.models.positions import rope_angles, sincos_table, time_features
from pixjax.models.presets import Architecture

Params = dict[str, Any]

NO_TYPE = -1  # of a canvas that is denoised without a type condition
NO_LABEL = -1
NUM_TYPES = 2  # text, image


class Prediction(NamedTuple):
    """What the network says of a noisy canvas."""

    x_hat: Float[Array, "batch height width 3"]  # the clean canvas, in the scale of the data
    log_probs: Float[Array, "batch cells vocab"] | None = None  # of each id, as if it were text: with a codebook head


class Context(NamedTuple):
    """Clean canvases that the denoised one is conditioned on: a prompt, a page before."""

    canvases: Float[Array, "batch pages height width 3"]  # in [-1, 1]
    present: Bool[Array, "batch pages"]  # False: padding, which influences nothing
    modality: Int[Array, "batch pages"] | None = None  # 0 text, 1 image; -1 (or None): not said


class _Tokens(NamedTuple):
    """What goes through the blocks: a canvas, then its context; in-context tokens come before them."""

    x_BND: Float[Array, "batch tokens width"]
    c_BCD: Float[Array, "batch conditions width"]  # of the canvas, and of its context
    present_BN: Bool[Array, "batch tokens"] | None  # None: all of them
    image_BN: Bool[Array, "batch tokens"]  # known to be of an image

    def followed_by(self, clean_BPND, c_of_clean_1D, context: Context) -> "_Tokens":
        batch, pages, patches, width = clean_BPND.shape
        own = jnp.ones(self.x_BND.shape[:2], bool)
        modality = jnp.full((batch, pages), NO_TYPE) if context.modality is None else context.modality
        c_of_clean = jnp.broadcast_to(c_of_clean_1D, (batch, 1, width))
        return _Tokens(
            jnp.concatenate([self.x_BND, clean_BPND.reshape(batch, -1, width)], axis=1),
            jnp.concatenate([self.c_BCD, c_of_clean], axis=1),
            jnp.concatenate([own, jnp.repeat(context.present, patches, axis=1)], axis=1),
            jnp.concatenate([self.image_BN, jnp.repeat(modality == IMAGE, patches, axis=1)], axis=1),
        )

    def led_by(self, first_BND) -> "_Tokens":
        """In-context tokens are always there, and of the modality of the canvas."""
        always = jnp.ones(first_BND.shape[:2], bool)
        return _Tokens(
            jnp.concatenate([first_BND, self.x_BND], axis=1),
            self.c_BCD,
            None if self.present_BN is None else jnp.concatenate([always, self.present_BN], axis=1),
            jnp.concatenate([always & self.image_BN[:, :1], self.image_BN], axis=1),
        )


_REMAT_POLICIES = {"full": None, "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable}

_xavier = nn.initializers.xavier_uniform()
_normal = nn.initializers.normal(0.02)
_zeros = nn.initializers.zeros_init()


def _rows_or_zero(table, index):
    """Rows of an embedding; zeros where the index is negative."""
    return jnp.where((index >= 0)[..., None], table[jnp.maximum(index, 0)], 0.0)


def predict(
    model: "JiT",
    params: Params,
    z: Float[Array, "batch height width 3"],
    t: Float[Array, " batch"],
    type_id: Int[Array, " batch"] | None = None,
    label: Int[Array, " batch"] | None = None,
    *,
    context: Context | None = None,
    previous: Float[Array, "batch height width 3"] | None = None,
    dropout_key: jax.Array | None = None,
) -> Prediction:
    """`JiT` as a pure function of its parameters; with a key it drops out, as in training."""
    rngs = {} if dropout_key is None else {"dropout": dropout_key}
    drops_out = dropout_key is not None
    conditions = (type_id, label, context, previous)
    prediction = model.apply(
        {"params": params}, z, t, *conditions, deterministic=not drops_out, rngs=rngs, method=JiT.predict
    )
    return cast(Prediction, prediction)


def denoise(model: "JiT", params: Params, *inputs: Any, **conditions: Any) -> Float[Array, "batch height width 3"]:
    """The clean canvas that `predict` finds."""
    return predict(model, params, *inputs, **conditions).x_hat


class JiT(nn.Module):
    """The denoiser: noisy canvas and t to the clean canvas."""

    arch: Architecture
    codebook: Codebook | None = None

    def __call__(self, *inputs: Any, **conditions: Any) -> Float[Array, "batch height width 3"]:
        """The clean canvas that `predict` finds."""
        return self.predict(*inputs, **conditions).x_hat

    @nn.compact
    def predict(
        self,
        z: Float[Array, "batch height width 3"],
        t: Float[Array, " batch"],
        type_id: Int[Array, " batch"] | None = None,
        label: Int[Array, " batch"] | None = None,
        context: Context | None = None,
        previous: Float[Array, "batch height width 3"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Prediction:
        """The clean canvas x, in the scale of the data ([-1, 1]), float32, and with a codebook head what it reads.

        Args:
          z: noisy canvas.
          t: time, 0 is noise and 1 is data.
          type_id: 0 text, 1 image, -1 (or None) no condition, whose embedding is exactly zero.
          label: class of a natural image, -1 (or None) for none.
          context: at most `Architecture.context_canvases` clean canvases; None is none, and costs nothing.
          previous: the clean prediction of the step before, for `Architecture.self_condition`; None is all zeros.
        """
        arch, codebook = self.arch, self.codebook
        batch = z.shape[0]
        condition_BD = self._condition(batch, type_id, label)
        time_in = dense(arch.width, kernel_init=_normal, name="time_in")
        time_out = dense(arch.width, kernel_init=_normal, name="time_out")
        embed_in = dense(arch.bottleneck, use_bias=False, dtype=arch.dtype, kernel_init=_xavier, name="embed_in")
        embed_out = dense(arch.width, dtype=arch.dtype, kernel_init=_xavier, name="embed_out")
        table = sincos_table(*arch.grid, arch.width)
        if arch.self_condition:
            # The weights of three more channels (arXiv 2208.04202); zero, so that a model without them can go on.
            embed_previous = dense(
                arch.bottleneck, use_bias=False, dtype=arch.dtype, kernel_init=_zeros, name="embed_previous"
            )
            previous = jnp.zeros_like(z) if previous is None else previous

        def embed_time(t):
            return time_out(nn.silu(time_in(time_features(t))))

        def embed(canvas, previous=None):
            hidden = embed_in(patchify(canvas, arch.patch).astype(arch.dtype))
            if previous is not None:
                hidden += embed_previous(patchify(previous, arch.patch).astype(arch.dtype))
            return by_canvas(embed_out(hidden).astype(jnp.float32)) + table[None]

        x = embed(z, previous if arch.self_condition else None)
        if codebook is not None:
            is_text = codebook.is_text(jnp.full(batch, NO_TYPE) if type_id is None else type_id)
            log_posterior_BCV = codebook.log_posterior(z, t)
            cells_BCW = self._cells_below(log_posterior_BCV)
            if codebook.is_input:
                x += jnp.where(is_text[:, None, None], self._embed_cells(cells_BCW), 0.0)
        c_BCD = by_canvas(embed_time(t) + condition_BD)[:, None]
        is_image = jnp.zeros(batch, bool) if type_id is None else type_id == IMAGE
        tokens = _Tokens(x, c_BCD, None, jnp.broadcast_to(is_image[:, None], x.shape[:2]))
        if arch.context_canvases:
            segment = self.param("context_segment", _normal, (arch.context_canvases, arch.width))
            context_modality = self.param("context_modality", _normal, (NUM_TYPES, arch.width))
        if context is not None:
            pages = context.canvases.shape[1]
            clean = embed(context.canvases.reshape(batch * pages, *z.shape[1:])).reshape(batch, pages, *table.shape)
            clean += segment[None, :pages, None]
            if context.modality is not None:
                clean += _rows_or_zero(context_modality, context.modality)[:, :, None]
            clean = jnp.where(context.present[..., None, None], clean, 0.0)
            tokens = tokens.followed_by(clean, embed_time(jnp.ones(1)), context)

        start = arch.in_context_start if arch.in_context_tokens else 0
        if start:
            tokens = self._blocks(tokens, 0, start, 0, deterministic, "blocks_before")
        if arch.in_context_tokens:
            place = self.param("in_context_position", _normal, (arch.in_context_tokens, arch.width))
            tokens = tokens.led_by(condition_BD[:, None] + place[None])
        tokens = self._blocks(tokens, start, arch.depth, arch.in_context_tokens, deterministic, "blocks")
        x = tokens.x_BND[:, arch.in_context_tokens : arch.in_context_tokens + len(table)]

        to_modulation = dense(2 * arch.width, kernel_init=_zeros, name="out_modulation")
        modulation = by_canvas(to_modulation(nn.silu(c_BCD[:, :1])))
        shift, scale = jnp.split(modulation, 2, axis=-1)
        x = modulate(norm("out_norm")(x), shift, scale)
        pixels = arch.patch[0] * arch.patch[1]
        out = by_canvas(dense(pixels * 3, kernel_init=_zeros, name="out")(x))
        x_hat = unpatchify(out, arch.patch, arch.grid)
        if codebook is None or not codebook.is_output:
            return Prediction(x_hat)
        log_probs = self._read_cells(x, cells_BCW, log_posterior_BCV)
        return Prediction(jnp.where(is_text[:, None, None, None], codebook.mean(log_probs), x_hat), log_probs)

    def _cells_below(self, log_posterior_BCV) -> Float[Array, "batch cells width"]:
        """What the pixels of each cell say of it, and with `Architecture.cell_layers` also those of its neighbours."""
        arch, cells = self.arch, jnp.exp(log_posterior_BCV)
        if arch.cell_layers:
            cells = dense(arch.cell_width, kernel_init=_xavier, name="cells_in")(cells)
            for layer in range(arch.cell_layers):
                cells = CellBlock(arch, name=f"cells_below_{layer}")(cells)
        return cells

    def _embed_cells(self, cells_BCW) -> Float[Array, "batch tokens width"]:
        """The cells of each patch as a token."""
        arch, codebook = self.arch, cast(Codebook, self.codebook)
        patches = patchify(codebook.at_pixels(cells_BCW), arch.patch).astype(arch.dtype)
        embed = dense(arch.width, use_bias=False, dtype=arch.dtype, kernel_init=_xavier, name="embed_ids")
        return by_canvas(embed(patches).astype(jnp.float32))

    def _read_cells(self, x_BND, cells_BCW, log_posterior_BCV) -> Float[Array, "batch cells vocab"]:
        """log p(id) of each cell: the network's logits, from its tokens and what came from below, and the posterior."""
        arch, codebook = self.arch, cast(Codebook, self.codebook)
        values = arch.cell_width if arch.cell_layers else codebook.vocab_size
        said = by_canvas(dense(arch.patch[0] * arch.patch[1] * values, kernel_init=_zeros, name="out_ids")(x_BND))
        above = codebook.of_cells(unpatchify(said, arch.patch, arch.grid))
        if arch.cell_layers:
            above += cells_BCW
            for layer in range(arch.cell_layers):
                above = CellBlock(arch, name=f"cells_above_{layer}")(above)
            above = dense(codebook.vocab_size, kernel_init=_zeros, name="cells_out")(above)
        return jax.nn.log_softmax(above + log_posterior_BCV)

    def _condition(self, batch: int, type_id, label) -> Float[Array, "batch width"]:
        arch = self.arch
        condition = jnp.zeros((batch, arch.width))
        if arch.has_types:
            # Zero at the start: an explicit type that was never trained is the same as none.
            table = self.param("type_embedding", _zeros, (NUM_TYPES, arch.width))
            type_id = jnp.full(batch, NO_TYPE) if type_id is None else type_id
            condition += _rows_or_zero(table, type_id)
        if arch.num_classes:
            table = self.param("class_embedding", _normal, (arch.num_classes + 1, arch.width))  # the last: no label
            label = jnp.full(batch, NO_LABEL) if label is None else label
            condition += table[jnp.where(label < 0, arch.num_classes, label)]
        return condition

    def _blocks(self, tokens: "_Tokens", first: int, last: int, unrotated: int, deterministic: bool, name: str):
        """Blocks `first` to `last`. Their parameters are stacked along a leading layer axis."""
        arch, x_BND = self.arch, tokens.x_BND
        patches = arch.grid[0] * arch.grid[1]
        context_tokens = x_BND.shape[1] - unrotated - patches
        layers = jnp.arange(first, last)
        drops = (layers >= arch.depth // 4) & (layers < arch.depth // 4 * 3)
        canvases = 1 + context_tokens // patches
        angles = jnp.asarray(rope_angles(*arch.grid, arch.head_width, unrotated, canvases, kind=arch.rope))
        rest = (tokens.c_BCD, angles, tokens.present_BN, tokens.image_BN)
        if not (arch.scan_layers or self.is_initializing()):
            return tokens._replace(x_BND=self._unrolled(x_BND, drops, rest, deterministic, context_tokens, name))
        body = Block
        if arch.remat != "none":  # prevent_cse is not needed inside a scan
            body = nn.remat(Block, prevent_cse=False, policy=_REMAT_POLICIES[arch.remat])
        scanned = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, nn.broadcast, nn.broadcast, nn.broadcast, nn.broadcast),
            length=last - first,
        )
        x_BND, _ = scanned(arch, deterministic, context_tokens, name=name)(x_BND, drops, *rest)
        return tokens._replace(x_BND=x_BND)

    def _unrolled(self, x_BND, drops, rest, deterministic: bool, context_tokens: int, name: str):
        """The same blocks one after another: compiled each, and without the copies that a scan makes."""
        body = Block
        if self.arch.remat != "none":
            body = nn.remat(Block, policy=_REMAT_POLICIES[self.arch.remat])
        block = body(self.arch, deterministic, context_tokens, parent=None)
        for layer in range(len(drops)):
            params = jax.tree.map(lambda p, layer=layer: p[layer], self.variables["params"][name])
            rngs = {"dropout": self.make_rng("dropout")} if self.arch.dropout and not deterministic else {}
            x_BND = block.apply({"params": params}, x_BND, drops[layer], *rest, rngs=rngs)[0]
        return x_BND

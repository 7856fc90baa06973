"""JiT, "just image transformers" (arXiv 2511.13720): plain blocks over pixel patches that predict the clean canvas.

Shape suffixes: B batch, N tokens, D width, H heads, K head width. Parameters are float32; matrix products run in
`ModelConfig.dtype`; norms, softmax, rotations and the output layer run in float32.
"""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.codec import IMAGE
from pixjax.config import ModelConfig
from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.diffusion.posterior import Palette
from pixjax.models.blocks import Block, modulate, norm
from pixjax.models.dense import Dense
from pixjax.models.on_mesh import by_canvas
from pixjax.models.patches import patchify, rope_angles, sincos_table, time_features, unpatchify
from pixjax.models.presets import resolve
from pixjax.models.text_head import TextHead
from pixjax.models.text_rows import ANY_ROW, TextRows

Params = dict[str, Any]

NO_TYPE = -1  # of a canvas that is denoised without a type condition
NO_LABEL = -1
NUM_TYPES = 2  # text, image


class Prediction(NamedTuple):
    """What the network says of a noisy canvas."""

    x_hat: Float[Array, "batch height width 3"]  # the clean canvas, in the scale of the data
    # Of each id of what may be text, as if it were: with a text head.
    log_probs: Float[Array, "text cells vocab"] | None = None


class Context(NamedTuple):
    """Clean canvases that the denoised one is conditioned on: a prompt, a page before."""

    canvases: Float[Array, "batch pages height width 3"]  # in [-1, 1]
    present: Bool[Array, "batch pages"]  # False: padding, which influences nothing
    modality: Int[Array, "batch pages"] | None = None  # 0 text, 1 image; -1 (or None): not said


class Written(NamedTuple):
    """A text canvas that is decided in an order: what stands in it, and how noisy each cell is where it is decided."""

    clean: Float[Array, "batch height width 3"]  # in [-1, 1]; of it a cell is told what is in earlier blocks, no more
    t: Float[Array, "batch cells"] | None = None  # of each noisy cell; None: they are all noise, and say nothing


class _Tokens(NamedTuple):
    """What goes through the blocks: a canvas, then its context; in-context tokens come before them."""

    x_BND: Float[Array, "batch tokens width"]
    c_BCD: Float[Array, "batch conditions width"]  # of each run of tokens
    runs: tuple[int, ...]
    angles_NP: Float[np.ndarray, "tokens pairs"]
    image_BN: Bool[Array, "batch tokens"]  # known to be of an image
    present_BN: Bool[Array, "batch tokens"] | None = None  # None: all of them
    visible_NN: Bool[np.ndarray, "tokens tokens"] | None = None  # which (rows) see which (columns); None: all see all

    def followed_by(self, clean_BPND, c_of_clean_1D, angles_ND, context: Context) -> "_Tokens":
        """With context, which is seen by all. Where the canvas is decided in an order, context sees nothing of it."""
        batch, pages, patches, width = clean_BPND.shape
        own = jnp.ones(self.x_BND.shape[:2], bool)
        modality = jnp.full((batch, pages), NO_TYPE) if context.modality is None else context.modality
        c_of_clean = jnp.broadcast_to(c_of_clean_1D, (batch, 1, width))
        return self._replace(
            x_BND=jnp.concatenate([self.x_BND, clean_BPND.reshape(batch, -1, width)], axis=1),
            c_BCD=jnp.concatenate([self.c_BCD, c_of_clean], axis=1),
            runs=(*self.runs, pages * patches),
            angles_NP=np.concatenate([self.angles_NP, *[angles_ND] * pages]),
            image_BN=jnp.concatenate([self.image_BN, jnp.repeat(modality == IMAGE, patches, axis=1)], axis=1),
            present_BN=jnp.concatenate([own, jnp.repeat(context.present, patches, axis=1)], axis=1),
            visible_NN=_with_common(self.visible_NN, after=pages * patches),
        )

    def led_by(self, first_BND) -> "_Tokens":
        """In-context tokens are always there, and of the modality of the canvas; they are seen as context is."""
        always, num = jnp.ones(first_BND.shape[:2], bool), first_BND.shape[1]
        return self._replace(
            x_BND=jnp.concatenate([first_BND, self.x_BND], axis=1),
            runs=(self.runs[0] + num, *self.runs[1:]),
            angles_NP=np.concatenate([np.zeros((num, self.angles_NP.shape[1]), np.float32), self.angles_NP]),
            image_BN=jnp.concatenate([always & self.image_BN[:, :1], self.image_BN], axis=1),
            present_BN=None if self.present_BN is None else jnp.concatenate([always, self.present_BN], axis=1),
            visible_NN=_with_common(self.visible_NN, before=num),
        )


def _with_common(visible_NN: np.ndarray | None, before: int = 0, after: int = 0) -> np.ndarray | None:
    """With tokens at both ends that all others see, and that see of these only what is such a token as well."""
    if visible_NN is None:
        return None
    common = np.pad(visible_NN.all(axis=0), (before, after), constant_values=True)
    added = np.pad(np.zeros(len(visible_NN), bool), (before, after), constant_values=True)
    wide = np.pad(visible_NN, ((before, after), (before, after)))
    wide[added] = common
    wide[:, added] = True
    return wide


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
    written: Written | None = None,
    order: DecisionOrder | None = None,
    text_rows: TextRows = ANY_ROW,
    dropout_key: jax.Array | None = None,
) -> Prediction:
    """`JiT.predict` as a pure function of its parameters; with a key it drops out, as in training."""
    rngs = {} if dropout_key is None else {"dropout": dropout_key}
    conditions = (type_id, label, context, previous, written)
    options: dict[str, Any] = {"order": order, "text_rows": text_rows, "deterministic": dropout_key is None}
    prediction = model.apply({"params": params}, z, t, *conditions, **options, rngs=rngs, method=JiT.predict)
    return cast(Prediction, prediction)


def denoise(model: "JiT", params: Params, *inputs: Any, **conditions: Any) -> Float[Array, "batch height width 3"]:
    """The clean canvas that `predict` finds."""
    return predict(model, params, *inputs, **conditions).x_hat


class JiT(nn.Module):
    """The denoiser: noisy canvas and t to the clean canvas."""

    config: ModelConfig  # resolved here, for all layers: see `resolve`
    palette: Palette | None = None
    orders: tuple[DecisionOrder, ...] = ()  # that text may be decided in, beside all at once

    def __post_init__(self):
        self.config = resolve(self.config)
        super().__post_init__()

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
        written: Written | None = None,
        *,
        order: DecisionOrder | None = None,
        text_rows: TextRows = ANY_ROW,
        deterministic: bool = True,
    ) -> Prediction:
        """The clean canvas x, in the scale of the data ([-1, 1]), float32, and with a text head what it reads.

        Args:
          z: noisy canvas.
          t: time, 0 is noise and 1 is data.
          type_id: 0 text, 1 image, -1 (or None) no condition, whose embedding is exactly zero.
          label: class of a natural image, -1 (or None) for none.
          context: at most `ModelConfig.context_canvases` clean canvases; None is none, and costs nothing.
          previous: the clean prediction of the step before, for `ModelConfig.self_condition`; None is all zeros.
          order: in which the cells of text canvases are decided; None: all at once.
          written: what an order needs to know. Each cell of z has a time of its own then, and t does not count.
          text_rows: which canvases may be text, where they are not decided in an order: the others are known to be
            images, and the layers for text are not computed for them.
        """
        config = self.config
        condition_BD = self._condition(z.shape[0], type_id, label)
        embed, embed_time = self._embeddings()
        text = None if self.palette is None or not text_rows.places else TextHead.of(config, self.palette)
        if any(order.is_within_patches for order in self.orders):
            first_patch = self.param("first_patch", _normal, (config.width,))

        angles = rope_angles(*config.grid, config.head_width, kind=config.rope)
        if order is None:
            x = embed(z, previous)
            if text is not None:
                is_text = text.palette.is_text(jnp.full(len(z), NO_TYPE) if type_id is None else type_id, z)
                log_posterior_BCV = text.palette.log_posterior(text_rows.of(z), text_rows.of(t))
                cells = text.below(log_posterior_BCV)
                if text.palette.is_input:
                    x = text_rows.replace(x, is_text, text_rows.of(x) + text.embed(cells))
            c_BCD = by_canvas(embed_time(t) + condition_BD)[:, None]
            is_image = jnp.zeros(len(z), bool) if type_id is None else type_id == IMAGE
            tokens = _Tokens(x, c_BCD, x.shape[1:2], angles, jnp.broadcast_to(is_image[:, None], x.shape[:2]))
        else:
            text, written = cast(TextHead, text), cast(Written, written)
            log_posterior_BCV = text.palette.log_posterior(z, written.t)
            # Letter by letter all is said of a cell without it, and its own noise comes in at the end alone.
            shown = text.palette.log_posterior(z, None) if order.block == 1 else log_posterior_BCV
            cells, clean_cells = text.below_in_order(shown, written.clean, order)
            c_of_clean = by_canvas(embed_time(jnp.ones(1)) + condition_BD)[:, None]
            clean = embed(written.clean, clean=True) + text.embed(clean_cells)
            if order.is_within_patches:
                # What is said of a patch is said by the one before: it need not be shown, and one stream is enough.
                first = jnp.broadcast_to(first_patch, (len(z), 1, config.width))
                x, c_BCD = jnp.concatenate([first, clean[:, :-1]], axis=1), c_of_clean
                runs, places = x.shape[1:2], np.concatenate([np.zeros_like(angles[:1]), angles[:-1]])
            else:
                x = jnp.concatenate([embed(z) + text.embed(cells), clean], axis=1)
                c_of_noisy = by_canvas(embed_time(jnp.zeros(1)) + condition_BD)[:, None]
                c_BCD = jnp.concatenate([c_of_noisy, c_of_clean], axis=1)
                runs, places = (clean.shape[1],) * 2, np.concatenate([angles, angles])
            is_image_BN = jnp.zeros(x.shape[:2], bool)
            tokens = _Tokens(x, c_BCD, runs, places, is_image_BN, visible_NN=order.visible_patches())
        canvas_tokens, canvas_runs = tokens.x_BND.shape[1], len(tokens.runs)
        tokens = self._with_context(tokens, embed, embed_time, angles, context)
        tokens = self._transformer(tokens, condition_BD, deterministic)

        x = tokens.x_BND[:, config.in_context_tokens : config.in_context_tokens + canvas_tokens]
        to_modulation = Dense(2 * config.width, ("embed", None), kernel_init=_zeros, name="out_modulation")
        modulation = by_canvas(to_modulation(nn.silu(c_BCD)))
        if canvas_runs > 1:
            modulation = jnp.repeat(modulation, canvas_tokens // canvas_runs, axis=1)
        shift, scale = jnp.split(modulation, 2, axis=-1)
        x = modulate(norm("out_norm")(x), shift, scale)
        if order is not None:
            text = cast(TextHead, text)
            log_probs = text.read_in_order(x, cells, clean_cells, log_posterior_BCV, order)
            return Prediction(text.palette.mean(log_probs), log_probs)
        out = by_canvas(
            Dense(config.patch[0] * config.patch[1] * 3, (None, "embed"), kernel_init=_zeros, name="out")(x)
        )
        x_hat = unpatchify(out, config.patch, config.grid)
        if text is None or not text.palette.is_output:
            return Prediction(x_hat)
        log_probs = text.read(text_rows.of(x), cells, log_posterior_BCV)
        return Prediction(text_rows.replace(x_hat, is_text, text.palette.mean(log_probs)), log_probs)

    def _embeddings(self):
        """Of canvases, by patches and with their places, and of times."""
        config = self.config
        time_in = Dense(config.width, (None, "embed"), kernel_init=_normal, name="time_in")
        time_out = Dense(config.width, (None, "embed"), kernel_init=_normal, name="time_out")
        embed_in = Dense(
            config.bottleneck, (None, "embed"), use_bias=False, dtype=config.dtype, kernel_init=_xavier, name="embed_in"
        )
        embed_out = Dense(config.width, (None, "embed"), dtype=config.dtype, kernel_init=_xavier, name="embed_out")
        table = sincos_table(*config.grid, config.width)
        if config.self_condition:
            # The weights of three more channels (arXiv 2208.04202); zero, so that a model without them can go on.
            embed_previous = Dense(
                config.bottleneck,
                (None, "embed"),
                use_bias=False,
                dtype=config.dtype,
                kernel_init=_zeros,
                name="embed_previous",
            )

        def embed_time(t):
            return time_out(nn.silu(time_in(time_features(t))))

        def embed(canvas, previous=None, *, clean=False):
            hidden = embed_in(patchify(canvas, config.patch).astype(config.dtype))
            if config.self_condition and not clean:
                previous = jnp.zeros_like(canvas) if previous is None else previous
                hidden += embed_previous(patchify(previous, config.patch).astype(config.dtype))
            return by_canvas(embed_out(hidden).astype(jnp.float32)) + table[None]

        return embed, embed_time

    def _with_context(self, tokens: _Tokens, embed, embed_time, angles, context: Context | None) -> _Tokens:
        config = self.config
        if config.context_canvases:
            segment = self.param("context_segment", _normal, (config.context_canvases, config.width))
            context_modality = self.param("context_modality", _normal, (NUM_TYPES, config.width))
        if context is None:
            return tokens
        batch, pages, *canvas = context.canvases.shape
        clean = embed(context.canvases.reshape(batch * pages, *canvas), clean=True)
        clean = clean.reshape(batch, pages, -1, config.width) + segment[None, :pages, None]
        if context.modality is not None:
            clean += _rows_or_zero(context_modality, context.modality)[:, :, None]
        clean = jnp.where(context.present[..., None, None], clean, 0.0)
        return tokens.followed_by(clean, embed_time(jnp.ones(1)), angles, context)

    def _transformer(self, tokens: _Tokens, condition_BD, deterministic: bool) -> _Tokens:
        config = self.config
        start = config.in_context_start if config.in_context_tokens else 0
        if start:
            tokens = self._blocks(tokens, 0, start, deterministic, "blocks_before")
        if config.in_context_tokens:
            place = self.param("in_context_position", _normal, (config.in_context_tokens, config.width))
            tokens = tokens.led_by(condition_BD[:, None] + place[None])
        return self._blocks(tokens, start, config.depth, deterministic, "blocks")

    def _condition(self, batch: int, type_id, label) -> Float[Array, "batch width"]:
        config = self.config
        condition = jnp.zeros((batch, config.width))
        if config.uses_condition:
            # Zero at the start: an explicit type that was never trained is the same as none.
            table = self.param("type_embedding", _zeros, (NUM_TYPES, config.width))
            type_id = jnp.full(batch, NO_TYPE) if type_id is None else type_id
            condition += _rows_or_zero(table, type_id)
        if config.num_classes:
            table = self.param("class_embedding", _normal, (config.num_classes + 1, config.width))  # the last: no label
            label = jnp.full(batch, NO_LABEL) if label is None else label
            condition += table[jnp.where(label < 0, config.num_classes, label)]
        return condition

    def _blocks(self, tokens: _Tokens, first: int, last: int, deterministic: bool, name: str) -> _Tokens:
        """Blocks `first` to `last`. Their parameters are stacked along a leading layer axis."""
        config, x_BND = self.config, tokens.x_BND
        layers = jnp.arange(first, last)
        drops = (layers >= config.depth // 4) & (layers < config.depth // 4 * 3)
        visible = None if tokens.visible_NN is None else jnp.asarray(tokens.visible_NN)
        rest = (tokens.c_BCD, jnp.asarray(tokens.angles_NP), tokens.present_BN, visible, tokens.image_BN)
        if not (config.scan_layers or self.is_initializing()):
            return tokens._replace(x_BND=self._unrolled(x_BND, drops, rest, deterministic, tokens.runs, name))
        body = Block
        if config.remat != "none":  # prevent_cse is not needed inside a scan
            body = nn.remat(Block, prevent_cse=False, policy=_REMAT_POLICIES[config.remat])
        scanned = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=(0, *[nn.broadcast] * len(rest)),
            length=last - first,
        )
        x_BND, _ = scanned(config, deterministic, tokens.runs, name=name)(x_BND, drops, *rest)
        return tokens._replace(x_BND=x_BND)

    def _unrolled(self, x_BND, drops, rest, deterministic: bool, runs: tuple[int, ...], name: str):
        """The same blocks one after another: compiled each, and without the copies that a scan makes."""
        body = Block
        if self.config.remat != "none":
            body = nn.remat(Block, policy=_REMAT_POLICIES[self.config.remat])
        block = body(self.config, deterministic, runs, parent=None)
        # Split, not indexed: the gradient of an index is padded to all layers, and added up once for each of them.
        leaves, structure = jax.tree.flatten(self.variables["params"][name])
        of_layers = zip(*(jnp.split(leaf, len(drops)) for leaf in leaves), strict=True)
        for layer, of_layer in enumerate(of_layers):
            params = jax.tree.unflatten(structure, [leaf[0] for leaf in of_layer])
            rngs = {"dropout": self.make_rng("dropout")} if self.config.dropout and not deterministic else {}
            x_BND = block.apply({"params": params}, x_BND, drops[layer], *rest, rngs=rngs)[0]
        return x_BND

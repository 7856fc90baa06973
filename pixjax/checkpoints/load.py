"""`pixjax.load`: a workdir becomes an object that denoises."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float, Int

from pixjax.checkpoints.published import open_checkpoints
from pixjax.checkpoints.run_files import find_workdir, read_class_names, read_run, read_text_share
from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.config import Config, MeshConfig
from pixjax.diffusion.bound import even
from pixjax.errors import InputError
from pixjax.models import NO_LABEL, NO_TYPE, Context, JiT, Params, denoise
from pixjax.models.order_bound import LOG_SNR_MIN, TextReader, bound_in_order, next_token_bits
from pixjax.training.mesh import make_mesh, replicated
from pixjax.training.state import init_params, make_model

_SCORE_END = 6.0  # log-SNR at which a score's path ends: any is valid, and from here on letters are certain

_denoise = jax.jit(denoise, static_argnums=0)


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Denoiser:
    """A trained model with all that is needed to use it."""

    config: Config
    codec: CanvasCodec
    step: int
    model: JiT
    params: Params
    mesh: jax.sharding.Mesh
    text_share: float  # of the canvases it was trained on
    class_names: tuple[str | None, ...] = ()  # by label, as far as they have names

    def __repr__(self) -> str:
        parameters, side = sum(x.size for x in jax.tree.leaves(self.params)), self.config.model.canvas_size
        trained_on = " and ".join(map(str, sorted(self.modalities)))
        return f"Denoiser(step {self.step}, {parameters:,} parameters, {trained_on} on {side}x{side} canvases)"

    @property
    def modalities(self) -> frozenset[Modality]:
        """What it was trained on: text, images, or both."""
        return frozenset({TEXT} if self.text_share > 0 else ()) | frozenset({IMAGE} if self.text_share < 1 else ())

    def denoise(
        self,
        z: Float[Array, "batch height width 3"],
        t: Float[Array, " batch"],
        *,
        modality: int | str | Int[Array, " batch"] | None = None,
        label: int | Int[Array, " batch"] | None = None,
        context: Context | Float[Array, "batch pages height width 3"] | None = None,
    ) -> Float[Array, "batch height width 3"]:
        """The clean canvas that the model expects behind a noisy one.

        Args:
          z: t·x + (1-t)·noise_scale·ε, where x is in [-1, 1].
          t: time, 0 is noise and 1 is data.
          modality: explicit type condition, a `Modality` or its name, or the number of each canvas; None (or -1) is no
            condition.
          label: class; None (or -1) is none.
          context: clean canvases in [-1, 1] to condition on, for a model with `model.context_canvases`; a `Context`
            says which of them are there.

        Raises:
          InputError: a condition that this model was not built for, or a canvas of another size or scale.
        """
        if modality is not None and not self.config.model.uses_condition:
            raise InputError(
                f"this model takes no type condition (model.tagging={self.config.model.tagging!r}): leave modality out"
            )
        if label is not None and not self.config.model.num_classes:
            raise InputError("this model has no classes (model.num_classes=0): leave label out")
        modality = Modality.of(modality) if isinstance(modality, str) else modality
        context = self._require_context(context)
        z, t = jnp.asarray(z), jnp.asarray(t)
        side = self.config.model.canvas_size
        if z.shape[1:] != (side, side, 3) or t.shape != z.shape[:1]:
            raise InputError(f"z {z.shape} and t {t.shape} do not fit: give [batch, {side}, {side}, 3] and [batch]")
        if not jnp.issubdtype(z.dtype, jnp.floating):
            raise InputError(f"z is {z.dtype}: give floats on the scale of the data, u / 127.5 - 1 for levels u")
        _require_between("modality", modality, NO_TYPE, IMAGE)
        _require_between("label", label, NO_LABEL, self.config.model.num_classes - 1)
        batch = z.shape[0]
        type_id = jnp.broadcast_to(jnp.asarray(NO_TYPE if modality is None else modality, jnp.int32), (batch,))
        labels = jnp.broadcast_to(jnp.asarray(NO_LABEL if label is None else label, jnp.int32), (batch,))
        return _denoise(self.model, self.params, z, t, type_id, labels, context=context)

    def score(self, texts: str | Sequence[str], *, blocks: str | int = "1", num_times: int = 16, seed: int = 0):
        """How many bits each text takes, as the beginning of a canvas of its own.

        Args:
          texts: one, or several; each of as many tokens as a canvas holds, at most.
          blocks: the order in which it is decided, one of those that the model was trained for.
          num_times: draws of noise for each canvas, of which letter by letter needs none.

        Returns:
          For each text, float64: with `blocks="1"` the -log2 p of each of its tokens given those before it, exact
          [tokens]; else an upper bound on their sum [1]. A single text has a single array.

        Raises:
          InputError: a text that is too long, or an order that the model was not trained for.
        """
        name, trained = str(blocks), list(self.config.diffusion.blocks.shares)
        if self.model.palette is None or not self.model.palette.is_output:
            raise InputError("this model has no text head (model.codebook_head=False), which gives probabilities")
        if name not in trained:
            raise InputError(f"blocks={name}: this model was trained for diffusion.blocks.text={','.join(trained)}")
        of_texts = [self.codec.text_tokenizer.encode(text) for text in ([texts] if isinstance(texts, str) else texts)]
        codec, longest = self.codec, max(map(len, of_texts), default=0)
        if longest > codec.capacity:
            raise InputError(f"a text has {longest} tokens, and a canvas holds {codec.capacity}: give it in parts")
        ids = np.full((len(of_texts), codec.capacity), codec.pad_id, np.int32)
        for row, tokens in zip(ids, of_texts, strict=True):
            row[: len(tokens)] = tokens
        canvases = codec.encode_ids(ids)
        reader = TextReader.named(self.model, self.config, name)
        if name == "1":
            bits = next_token_bits(reader, self.params, canvases)
            found = [row[: len(tokens)] for row, tokens in zip(bits, of_texts, strict=True)]
        else:
            mask = codec.mask_of_cells(np.arange(codec.capacity) < np.array([[len(tokens)] for tokens in of_texts]))
            bound = bound_in_order(
                reader, self.params, canvases, mask, num_times=num_times, proposal=even(LOG_SNR_MIN, _SCORE_END),
                endpoints=(_SCORE_END,), seed=seed,
            )  # fmt: skip
            found = list(bound.total / np.log(2))
        return found[0] if isinstance(texts, str) else found

    def _require_context(self, context) -> Context | None:
        if context is None:
            return None
        most, side = self.config.model.context_canvases, self.config.model.canvas_size
        if not most:
            raise InputError("this model was trained without context (model.context_canvases=0): leave context out")
        if not isinstance(context, Context):
            context = Context(jnp.asarray(context), jnp.ones(jnp.shape(context)[:2], bool))
        shape = context.canvases.shape
        if len(shape) != 5 or not 1 <= shape[1] <= most or shape[2:] != (side, side, 3):
            raise InputError(f"context {shape} does not fit: give [batch, 1 to {most}, {side}, {side}, 3]")
        return context


def _require_between(name: str, value: Any, low: int, high: int) -> None:
    if value is None or isinstance(value, jax.core.Tracer):
        return  # under a transformation there is nothing to look at yet
    found = np.asarray(value)
    if found.size and not (low <= found.min() and found.max() <= high):
        raise InputError(f"{name}={value} is not in {low} to {high}")


def load(workdir: str | epath.PathLike, *, ema: str = "", step: int | None = None) -> Denoiser:
    """Restores a workdir for use, its parameters on every device.

    Args:
      workdir: of a training run, or `pretrained:NAME`.
      ema: a decay in `training.ema_decays`, for instance "0.9999"; "none" for the raw parameters; empty for the
        first average.
      step: of the checkpoint; None for the newest.

    Raises:
      InputError: no workdir, no checkpoint, no such average or step, or another architecture.
    """
    path = find_workdir(workdir)
    config, codec = read_run(path)
    decays = [str(d) for d in config.training.ema_decays]
    item = "params" if ema == "none" else f"ema_{ema or decays[0]}"
    model = make_model(config, codec)
    mesh = make_mesh(MeshConfig())
    with open_checkpoints(path) as checkpoints:
        step = _choose_step(path, checkpoints.steps(), step)
        known = decays + ["none"] * ("params" in checkpoints.meta(step)["trees"])
        if ema not in ("", *known):
            raise InputError(f"--ema={ema} is not kept in {path}: choose one of {', '.join(known)}")
        shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)), shapes)
        params = checkpoints.restore_params(step, item, like)
    return Denoiser(
        config=config,
        codec=codec,
        step=step,
        model=model,
        params=params,
        mesh=mesh,
        text_share=read_text_share(path),
        class_names=read_class_names(path),
    )


def keeps_raw(workdir: epath.Path, step: int) -> bool:
    """Whether a checkpoint has the parameters without averaging; that of an exported model has not."""
    with open_checkpoints(workdir) as checkpoints:
        return "params" in checkpoints.meta(step)["trees"]


def _choose_step(workdir: epath.Path, steps: list[int], step: int | None) -> int:
    if not steps:
        raise InputError(f"{workdir} has no checkpoint: train there first, or name another workdir")
    if step is not None and step not in steps:
        raise InputError(f"{workdir} has no checkpoint at step {step}: it has {', '.join(map(str, steps))}")
    return steps[-1] if step is None else int(np.int64(step))

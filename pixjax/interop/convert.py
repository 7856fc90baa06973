"""From PyTorch JiT weights to a workdir, and back."""

import math
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from pixjax.checkpoints.checkpoint import CHECKPOINTS
from pixjax.checkpoints.load import load
from pixjax.checkpoints.run_files import CONFIG_FILE, read_run, write_run
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.codec import CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, DiffusionConfig, ModelConfig, TimeConfig, TrainingConfig
from pixjax.errors import InputError
from pixjax.interop.jit_files import MODEL, JiTFile
from pixjax.interop.jit_names import StateDict, params_from_state_dict, state_dict_from_params
from pixjax.models import VARIANTS, Params
from pixjax.models.presets import resolve
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import TrainState

# What JiT's training code is run with (arXiv 2511.13720, appendix A), unless the file says otherwise.
_DEFAULT_ARGS = {
    "P_mean": -0.8,
    "P_std": 0.8,
    "t_eps": 0.05,
    "label_drop_prob": 0.1,
    "ema_decay1": 0.9999,
    "ema_decay2": 0.9996,
}


def write_converted(contents: JiTFile, workdir: epath.Path, origin: str) -> list[str]:
    """Makes an ordinary workdir, at step 0, of the weights in a file.

    Returns:
      What to tell the user: the architecture, and what the file did not have.

    Raises:
      InputError: the workdir is in use, or the tensors are not those of a JiT.
    """
    for name in (CONFIG_FILE, CHECKPOINTS):
        if (workdir / name).exists():
            raise InputError(f"--workdir={workdir} holds a run already ({name}): choose another one")
    names = [name for name in _in_order(contents.sets) if name != MODEL]
    first = MODEL if MODEL in contents.sets else names[0]
    model = infer_model(contents.sets[first], contents.args, f"{origin} ({first})")
    params = {
        name: params_from_state_dict(model, tensors, f"{origin} ({name})") for name, tensors in contents.sets.items()
    }
    decays = _decays(contents.args, names or ["model_ema1"])
    config = jit_config(model, contents.args, tuple(decays.values()))

    notes = [_describe(model, params[first])]
    if MODEL not in params:
        notes.append(f"the file has averages alone: the raw parameters are {first}")
    if not names:
        notes.append(f"the file has no average: ema_{decays['model_ema1']} is the raw parameters")
    raw = jax.tree.map(jnp.asarray, params[first])
    averages = {str(decay): params.get(name, params[first]) for name, decay in decays.items()}
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=raw,
        opt_state=make_optimizer(config.training).init(raw),
        ema=jax.tree.map(jnp.asarray, averages),
    )
    codec = CanvasCodec(**config.codec_arguments())
    write_run(workdir, config, codec)
    with CheckpointWriter(workdir, keep=config.training) as checkpoints:
        checkpoints.save(state, {"batches": {"next_step": 0}, "window": {}}, config, codec)
        checkpoints.wait()
    return notes


def read_for_jit(workdir: epath.Path, step: int | None = None) -> JiTFile:
    """The parameters and averages of a workdir as a JiT file: what `write_converted` turns back into equal arrays.

    Raises:
      InputError: no checkpoint, or a model that JiT's tensors cannot express.
    """
    config, _ = read_run(workdir)
    _require_expressible(config)
    decays = list(dict.fromkeys(config.training.ema_decays))
    sets = {}
    for name, ema in [(MODEL, "none"), *((f"model_ema{i}", str(d)) for i, d in enumerate(decays, start=1))]:
        denoiser = load(workdir, ema=ema, step=step)
        sets[name] = state_dict_from_params(denoiser.model.config, jax.device_get(denoiser.params))
    args: dict[str, Any] = {f"ema_decay{i}": decay for i, decay in enumerate(decays, start=1)}
    args |= {"noise_scale": config.diffusion.noise_scale, "t_eps": config.diffusion.t_eps}
    args |= {"label_drop_prob": config.training.label_dropout}
    args["in_context_start"] = resolve(config.model).in_context_start
    law, *numbers = config.diffusion.time.image.split(":")
    if law == "logit_normal" and len(numbers) == 2:
        args |= {"P_mean": float(numbers[0]), "P_std": float(numbers[1])}
    return JiTFile(sets=sets, args=args)


def infer_model(tensors: StateDict, args: Mapping[str, Any], origin: str) -> ModelConfig:
    """The architecture that tensors have. Shapes that contradict it are found when they are read.

    Raises:
      InputError: the tensors that decide a size are missing, or no size fits them.
    """
    patching = _sized(tensors, "x_embedder.proj1.weight", 4, origin)
    width = _sized(tensors, "x_embedder.proj2.weight", 4, origin)[0]
    head_width = _sized(tensors, "blocks.0.attn.q_norm.weight", 1, origin)[0]
    patches = _sized(tensors, "pos_embed", 3, origin)[1]
    bottleneck, _, patch, patch_width = patching
    grid = math.isqrt(patches)
    if patch != patch_width or grid**2 != patches or width % head_width:
        raise InputError(
            f"{origin} is not the state of a JiT: {patch}x{patch_width} patches, {patches} of them, and heads of "
            f"{head_width} in a width of {width}; patches and canvas have to be square, and heads divide the width"
        )
    depth = len({match[1] for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))})
    classes, in_context = tensors.get("y_embedder.embedding_table.weight"), tensors.get("in_context_posemb")
    sizes = {"width": width, "depth": depth, "heads": width // head_width, "bottleneck": bottleneck}
    in_context_tokens = 0 if in_context is None else in_context.shape[1]
    start = int(_number({"in_context_start": in_context_start(depth)} | dict(args), "in_context_start"))
    variant = _variant(sizes, in_context_tokens, start, origin)
    changed = {name: 0 if size == getattr(VARIANTS[variant], name) else size for name, size in sizes.items()}
    return ModelConfig(
        variant=variant,
        canvas_size=grid * patch,
        patch_size=str(patch),
        tagging="none",
        num_classes=0 if classes is None else classes.shape[0] - 1,
        in_context_tokens=in_context_tokens,
        width=changed["width"],
        depth=changed["depth"],
        heads=changed["heads"],
        bottleneck=changed["bottleneck"],
    )


def in_context_start(depth: int) -> int:
    """The block before which JiT's in-context tokens join, which no tensor tells: 4, 8, 10 for B, L, H."""
    return {12: 4, 24: 8, 32: 10}.get(depth, depth // 3)


def jit_config(model: ModelConfig, args: Mapping[str, Any], ema_decays: tuple[float, ...]) -> Config:
    """A run of natural images with JiT's objective. Its source of data is a stand-in: the weights came without one."""
    # The noise grows with the side of the picture, so that each patch sees as much of it: 1 at 256 pixels, 2 at 512.
    args = _DEFAULT_ARGS | {"noise_scale": max(1.0, model.canvas_size / 256)} | dict(args)
    law = f"logit_normal:{_number(args, 'P_mean')}:{_number(args, 'P_std')}"
    return Config(
        model=model,
        codec=CodecConfig(marker=False),
        data=DataConfig(sources=("demo:images",), text_ratio=0.0),
        diffusion=DiffusionConfig(
            loss="v",
            noise_scale=_number(args, "noise_scale"),
            t_eps=_number(args, "t_eps"),
            time=TimeConfig(text=law, image=law),
        ),
        training=TrainingConfig(ema_decays=ema_decays, label_dropout=_number(args, "label_drop_prob")),
    )


def _variant(sizes: Mapping[str, int], in_context_tokens: int, start: int, origin: str) -> str:
    """The variant with the most of these sizes, among those whose tokens join where they should."""
    depth = sizes["depth"]
    fitting = [
        name
        for name, variant in VARIANTS.items()
        if not in_context_tokens or min(variant.in_context_start, depth // 3) == start
    ]
    if not fitting:
        raise InputError(
            f"{origin} has {depth} blocks and in-context tokens that join before block {start}: no variant has that "
            f"(at most before block {max(v.in_context_start for v in VARIANTS.values())}, and a third of the depth)"
        )
    return max(fitting, key=lambda name: sum(getattr(VARIANTS[name], size) == n for size, n in sizes.items()))


def _sized(tensors: StateDict, name: str, dimensions: int, origin: str) -> tuple[int, ...]:
    if name not in tensors:
        raise InputError(f"{origin} is not the state of a JiT (missing: {name}): give a checkpoint of JiT's own code")
    shape = tensors[name].shape
    if len(shape) != dimensions or 0 in shape:
        raise InputError(
            f"{origin} is not the state of a JiT (misshaped: {name} {shape}, which should have {dimensions} dimensions)"
        )
    return shape


def _number(args: Mapping[str, Any], name: str) -> float:
    value = args[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"the file's args have {name}={value!r}, which is no number: leave args out of the file")
    return float(value)


def _in_order(sets: Mapping[str, StateDict]) -> list[str]:
    return sorted(sets, key=lambda name: int(name.removeprefix("model_ema") or 0) if name != MODEL else 0)


def _decays(args: Mapping[str, Any], names: list[str]) -> dict[str, float]:
    """The decay of each average, `model_ema1` and so on, from the file's options; JiT's own two are known without."""
    known = _DEFAULT_ARGS | dict(args)
    decays: dict[str, float] = {}
    for name in names:
        number = name.removeprefix("model_ema")
        if (key := f"ema_decay{number}") not in known:
            raise InputError(f"the file has {name} and no {key} in its args: leave that average out")
        decays[name] = _number(known, key)
    if len(set(decays.values())) < len(decays):
        raise InputError(f"the file has averages of equal decay ({decays}): leave all but one out")
    return decays


def _require_expressible(config: Config) -> None:
    model = config.model
    if model.uses_condition:
        raise InputError(
            f"model.tagging={model.tagging!r} has a type embedding, which JiT's tensors have no place for: "
            "only models with tagging none or marker can be exported"
        )
    if model.context_canvases:
        raise InputError(f"model.context_canvases={model.context_canvases}: JiT's tensors have no place for context")
    if model.self_condition:
        raise InputError("model.self_condition=True: JiT's tensors have no place for an earlier prediction")
    if model.codebook_head or model.codebook_input:
        raise InputError("model.codebook_head or codebook_input: JiT's tensors have no place for legal colours")
    if model.rope != "2d":
        raise InputError(f"model.rope={model.rope}: JiT turns its patches with row and column")
    if model.patch[0] != model.patch[1]:
        raise InputError(f"model.patch_size={model.patch_size} is not square: JiT has square patches only")


def _describe(model: ModelConfig, params: Params) -> str:
    sizes = resolve(model)
    count = sum(np.size(x) for x in jax.tree.leaves(params))
    classes = f"{model.num_classes} classes" if model.num_classes else "unconditional"
    return (
        f"JiT-{model.variant}/{model.patch_size} at {model.canvas_size} pixels: {sizes.depth} blocks of width "
        f"{sizes.width}, {sizes.heads} heads, {classes}, {count:,} parameters"
    )

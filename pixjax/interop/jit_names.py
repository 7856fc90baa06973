"""JiT's PyTorch parameters and ours: one table of names and layouts, read in both directions.

Everything here is a pure function of NumPy arrays; neither torch nor a device is needed. A *state dict* is a mapping
from a name in JiT's network (without the `net.` of its training wrapper) to an array.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.models.jit import JiT, Params
from pixjax.models.patches import sincos_table
from pixjax.models.presets import resolve

Tensor = Shaped[np.ndarray, "..."]
StateDict = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How one array is stored there and here. Both functions are given the sides of a patch."""

    from_torch: Callable[[Tensor, tuple[int, int]], Tensor]
    to_torch: Callable[[Tensor, tuple[int, int]], Tensor]


def _from_convolution(weight: Tensor, patch: tuple[int, int]) -> Tensor:
    """[out, channels, height, width] as a matrix over a patch that is flattened row by row, channels last."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


def _to_convolution(kernel: Tensor, patch: tuple[int, int]) -> Tensor:
    return kernel.reshape(*patch, -1, kernel.shape[1]).transpose(3, 2, 0, 1)


_SAME = Layout(from_torch=lambda x, _: x, to_torch=lambda x, _: x)
_LINEAR = Layout(from_torch=lambda x, _: x.T, to_torch=lambda x, _: x.T)  # torch keeps [out, in]
_WITH_BATCH = Layout(from_torch=lambda x, _: x[0], to_torch=lambda x, _: x[None])
_PATCHES = Layout(from_torch=_from_convolution, to_torch=_to_convolution)
_PIXELWISE = Layout(from_torch=_from_convolution, to_torch=lambda x, _: _to_convolution(x, (1, 1)))


def _dense(ours: str, theirs: str) -> tuple[tuple[str, str, Layout], ...]:
    return (f"{ours}/kernel", f"{theirs}.weight", _LINEAR), (f"{ours}/bias", f"{theirs}.bias", _SAME)


_OUTER = (
    ("embed_in/kernel", "x_embedder.proj1.weight", _PATCHES),
    ("embed_out/kernel", "x_embedder.proj2.weight", _PIXELWISE),
    ("embed_out/bias", "x_embedder.proj2.bias", _SAME),
    *_dense("time_in", "t_embedder.mlp.0"),
    *_dense("time_out", "t_embedder.mlp.2"),
    ("class_embedding", "y_embedder.embedding_table.weight", _SAME),
    ("in_context_position", "in_context_posemb", _WITH_BATCH),
    ("out_norm/scale", "final_layer.norm_final.weight", _SAME),
    *_dense("out_modulation", "final_layer.adaLN_modulation.1"),
    *_dense("out", "final_layer.linear"),
)
# Of one block: there `blocks.N.`, here row N of `blocks_before` and `blocks` taken together.
_BLOCK = (
    ("norm1/scale", "norm1.weight", _SAME),
    ("norm2/scale", "norm2.weight", _SAME),
    *_dense("attention/qkv", "attn.qkv"),
    ("attention/q_norm/scale", "attn.q_norm.weight", _SAME),
    ("attention/k_norm/scale", "attn.k_norm.weight", _SAME),
    *_dense("attention/proj", "attn.proj"),
    *_dense("mlp/w12", "mlp.w12"),
    *_dense("mlp/w3", "mlp.w3"),
    *_dense("modulation", "adaLN_modulation.1"),
)
_POSITIONS = "pos_embed"  # frozen: a table here, a tensor there
_RECOMPUTED = re.compile(r"feat_rope(_incontext)?\.freqs_(cos|sin)$")
_POSITION_TOLERANCE = 1e-5


def params_from_state_dict(config: ModelConfig, tensors: StateDict, origin: str = "the checkpoint") -> Params:
    """The parameters of `JiT(config)`, float32, from the tensors of a PyTorch JiT.

    Args:
      origin: what the tensors came from, for messages.

    Raises:
      InputError: tensors that are missing, that JiT does not have, of another shape, not finite, or positions that
        are not the sin-cos table.
    """
    config = resolve(config)
    tensors = {name: x for name, x in tensors.items() if not _RECOMPUTED.match(name)}
    _require_shapes(expected_shapes(config), tensors, origin)
    _require_table(config, tensors[_POSITIONS], origin)
    if spoilt := [name for name, x in tensors.items() if not np.isfinite(np.asarray(x, np.float32)).all()]:
        raise InputError(f"{origin} has values that are not finite in {_some(spoilt)}: it is damaged, get it again")

    def read(name: str, layout: Layout) -> Tensor:
        return np.ascontiguousarray(layout.from_torch(tensors[name], config.patch), np.float32)

    flat = {ours: read(theirs, layout) for ours, theirs, layout in _OUTER if theirs in tensors}
    for group, layers in _groups(config).items():
        for ours, theirs, layout in _BLOCK:
            flat[f"{group}/{ours}"] = np.stack([read(f"blocks.{layer}.{theirs}", layout) for layer in layers])
    return _nested(flat)


def state_dict_from_params(config: ModelConfig, params: Params) -> dict[str, Tensor]:
    """The inverse of `params_from_state_dict`: contiguous float32 copies, as PyTorch lays them out."""
    return {name: np.array(x, np.float32, order="C") for name, x in _views(resolve(config), params).items()}


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a PyTorch JiT with this architecture."""
    model, side = JiT(config), config.canvas_size
    inputs = jnp.zeros((1, side, side, 3)), jnp.zeros(1)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))["params"]
    # One element seen as a whole array: layouts apply, and the largest model costs no memory.
    params = jax.tree.map(lambda s: np.broadcast_to(np.float32(0), s.shape), shapes)
    return {name: x.shape for name, x in _views(model.config, params).items()}


def _views(config: ModelConfig, params: Params) -> dict[str, Tensor]:
    flat = _flat(params)
    tensors = {theirs: layout.to_torch(flat.pop(ours), config.patch) for ours, theirs, layout in _OUTER if ours in flat}
    tensors[_POSITIONS] = sincos_table(*config.grid, config.width)[None]
    for group, layers in _groups(config).items():
        for ours, theirs, layout in _BLOCK:
            stacked = flat.pop(f"{group}/{ours}")
            for row, layer in enumerate(layers):
                tensors[f"blocks.{layer}.{theirs}"] = layout.to_torch(stacked[row], config.patch)
    if flat:
        raise InputError(f"JiT has no tensor for {_some(flat)}: a model with these parameters cannot be written as JiT")
    return tensors


def _groups(config: ModelConfig) -> dict[str, range]:
    """Our stacks of blocks, and which layers each holds."""
    start = config.in_context_start if config.in_context_tokens else 0
    groups = {"blocks_before": range(start), "blocks": range(start, config.depth)}
    return {name: layers for name, layers in groups.items() if len(layers)}


def _require_shapes(expected: Mapping[str, tuple[int, ...]], tensors: StateDict, origin: str) -> None:
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    misshaped = [
        f"{name} {tensors[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tensors[name].shape != shape
    ]
    kinds = (("missing", missing), ("not of JiT", extra), ("misshaped", misshaped))
    if faults := "; ".join(f"{kind}: {_some(names)}" for kind, names in kinds if names):
        raise InputError(f"{origin} is not the state of a JiT ({faults}): give a checkpoint of JiT's own code")


def _require_table(config: ModelConfig, table: Tensor, origin: str) -> None:
    ours = sincos_table(*config.grid, config.width)[None]
    difference = float(np.abs(np.asarray(table, np.float32) - ours).max())
    # A file in half precision holds a rounded table; the exact one is used in its place.
    allowed = max(_POSITION_TOLERANCE, float(jnp.finfo(table.dtype).eps))
    if not difference <= allowed:
        raise InputError(
            f"{origin} has a {_POSITIONS} that differs by {difference:.2g} from the frozen sin-cos table "
            f"(at most {allowed:.2g}): learned positions, or another order of patches, are not supported"
        )


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {prefix + name: np.asarray(value)}
    return flat


def _nested(flat: Mapping[str, Tensor]) -> Params:
    tree: Params = {}
    for path, value in flat.items():
        *folders, leaf = path.split("/")
        functools.reduce(lambda node, name: node.setdefault(name, {}), folders, tree)[leaf] = value
    return tree

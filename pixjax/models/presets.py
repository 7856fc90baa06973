"""The sizes: from `ModelConfig` to the numbers that the modules are built with."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from pixjax.config import Attention, ModelConfig, Remat
from pixjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    width: int
    depth: int
    heads: int
    bottleneck: int
    in_context_tokens: int
    in_context_start: int  # the block before which they join


# B, L and H are JiT's (arXiv 2511.13720, Table 9 and appendix A); Ti and S continue the row downwards with ViT's
# widths.
VARIANTS = {
    "Ti": Variant(width=192, depth=12, heads=3, bottleneck=64, in_context_tokens=8, in_context_start=4),
    "S": Variant(width=384, depth=12, heads=6, bottleneck=96, in_context_tokens=16, in_context_start=4),
    "B": Variant(width=768, depth=12, heads=12, bottleneck=128, in_context_tokens=32, in_context_start=4),
    "L": Variant(width=1024, depth=24, heads=16, bottleneck=128, in_context_tokens=32, in_context_start=8),
    "H": Variant(width=1280, depth=32, heads=16, bottleneck=256, in_context_tokens=32, in_context_start=10),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that decides the shapes and the arithmetic of a denoiser."""

    canvas_size: int
    patch: tuple[int, int]
    width: int
    depth: int
    heads: int
    bottleneck: int
    in_context_tokens: int
    in_context_start: int
    has_types: bool  # a type embedding for each modality
    num_classes: int
    dropout: float
    dtype: Any
    attention: Attention
    remat: Remat
    scan_layers: bool = True
    rope: Literal["2d", "1d"] = "2d"
    modality_mlp: bool = False  # images have a SwiGLU of their own in each block
    context_canvases: int = 0  # clean canvases that may be given beside the noisy one
    self_condition: bool = False  # the clean prediction of the step before may be given
    cell_layers: int = 0  # of `CellBlock`s, below the transformer and as many above it
    cell_width: int = 0
    cell_reach: int = 0

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches."""
        return self.canvas_size // self.patch[0], self.canvas_size // self.patch[1]

    @property
    def mlp_width(self) -> int:
        """The hidden width of SwiGLU: two thirds of the usual four widths, so that three matrices cost as two."""
        return int(4 * self.width * 2 / 3)

    @property
    def head_width(self) -> int:
        return self.width // self.heads


def architecture(config: ModelConfig) -> Architecture:
    """The variant's sizes with the config's changes.

    Raises:
      InputError: an unknown variant, or heads that do not divide the width into multiples of four (rows and
        columns take half of a head each, in pairs).
    """
    if config.variant not in VARIANTS:
        raise InputError(f"model.variant={config.variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    variant = VARIANTS[config.variant]
    width, heads = config.width or variant.width, config.heads or variant.heads
    depth = config.depth or variant.depth
    if width % (4 * heads):
        raise InputError(
            f"model.heads={heads} does not divide model.width={width} into heads of a multiple of 4: "
            f"choose a width that is a multiple of {4 * heads}"
        )
    # A variant that was made shallower keeps their place, in proportion.
    start = min(variant.in_context_start, depth // 3) if config.in_context_start < 0 else config.in_context_start
    if start >= depth:
        raise InputError(f"model.in_context_start={start} is not one of the {depth} blocks: choose 0 to {depth - 1}")
    return Architecture(
        canvas_size=config.canvas_size,
        patch=config.patch,
        width=width,
        depth=depth,
        heads=heads,
        bottleneck=config.bottleneck or variant.bottleneck,
        in_context_tokens=variant.in_context_tokens if config.in_context_tokens < 0 else config.in_context_tokens,
        in_context_start=start,
        has_types=config.uses_condition,
        num_classes=config.num_classes,
        dropout=config.dropout,
        dtype=_compute_dtype(config.dtype),
        attention=config.attention,
        remat=config.remat,
        scan_layers=config.scan_layers,
        rope=config.rope,
        modality_mlp=config.modality_mlp,
        context_canvases=config.context_canvases,
        self_condition=config.self_condition,
        cell_layers=config.cell_layers,
        cell_width=config.cell_width,
        cell_reach=config.cell_reach,
    )


def _compute_dtype(name: str):
    if name == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(name).type

"""The sizes that the denoiser comes in."""

import dataclasses
from typing import Literal

import jax

from pixjax.config import ModelConfig
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


def resolve(config: ModelConfig) -> ModelConfig:
    """The config with the variant's sizes where it has none of its own, and the type of the device's products.

    A config that is resolved comes back as it is.

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
    return dataclasses.replace(
        config,
        width=width,
        depth=depth,
        heads=heads,
        bottleneck=config.bottleneck or variant.bottleneck,
        in_context_tokens=variant.in_context_tokens if config.in_context_tokens < 0 else config.in_context_tokens,
        in_context_start=start,
        dtype=_device_dtype() if config.dtype == "auto" else config.dtype,
    )


def _device_dtype() -> Literal["float32", "bfloat16"]:
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"

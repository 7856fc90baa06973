"""The cost of a denoiser: floating-point operations, counted as two a multiply-add, of matrix products alone."""

from pixjax.config import ModelConfig
from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.diffusion.posterior import Palette
from pixjax.models.blocks import swiglu_width
from pixjax.models.presets import resolve


def forward_flops(
    config: ModelConfig,
    context_canvases: int = 0,
    palette: Palette | None = None,
    order: DecisionOrder | None = None,
) -> int:
    """Of one canvas through the denoiser once, with so many canvases of context.

    In an order, of all its blocks at once, as in training: the cells twice over, noisy and clean, and the patches
    twice where a block has several.
    """
    config = resolve(config)
    rows, columns = config.grid
    patches, width = rows * columns, config.width
    values = config.patch[0] * config.patch[1] * 3
    hidden = swiglu_width(width)
    own = 1 if order is None or order.is_within_patches else 2
    canvases = own + context_canvases
    total = 2 * patches * (canvases * (values * config.bottleneck + config.bottleneck * width))
    if order is None:
        total += 2 * patches * width * values
    if config.self_condition and order is None:
        total += 2 * patches * values * config.bottleneck
    if palette is not None:
        values = config.cell_width if config.cell_layers else palette.vocab_size
        ends = palette.is_input + palette.is_output
        total += own * 2 * patches * width * config.patch[0] * config.patch[1] * values * ends
        streams = 1 if order is None else 2
        taps = streams * (2 * config.cell_reach + 1)
        if order is not None and order.block == 1:  # both see the same cells before, and beside them their own
            taps = config.cell_reach + 2
        a_block = taps * config.cell_width * 2 * config.cell_width + streams * 2 * config.cell_width**2
        cells, vocab = palette.codec.capacity, palette.vocab_size
        total += 2 * cells * 2 * config.cell_layers * a_block
        if order is not None:  # of the last layer the clean stream is not needed
            total -= 2 * cells * (config.cell_layers > 0) * (a_block - _of_noisy(config, order))
        if config.cell_layers:
            total += 2 * cells * (streams + 1) * vocab * config.cell_width  # into them and out of them
        if palette.is_output:
            total += 2 * cells * vocab * 3 * palette.codec.color_code.pixels  # the mean colour
    conditions = own + (context_canvases > 0)  # one t for the canvas, another for what is clean
    patches *= canvases
    total += 2 * (256 * width + width * width + 2 * width * width)  # of t, and the last modulation
    start = config.in_context_start if config.in_context_tokens else 0
    for first, last, tokens in ((0, start, patches), (start, config.depth, patches + config.in_context_tokens)):
        mlps = 1 + config.modality_mlp  # both are computed, and one is taken
        a_token = 2 * (4 * width * width + 3 * mlps * width * hidden) + 4 * tokens * width  # matrices, scores, mixing
        total += (last - first) * (tokens * a_token + conditions * 2 * 6 * width * width)
    return total


def _of_noisy(config: ModelConfig, order: DecisionOrder) -> int:
    """Of a layer over cells, what the noisy stream takes of it."""
    taps = config.cell_reach + 1 if order.block == 1 else 2 * config.cell_reach + 1
    return taps * config.cell_width * 2 * config.cell_width + 2 * config.cell_width**2


def training_flops(
    config: ModelConfig,
    self_conditioned: float = 0.0,
    palette: Palette | None = None,
    order: DecisionOrder | None = None,
) -> float:
    """Of one canvas in one update: the backward pass costs twice the forward. Recomputation is not counted.

    Canvases of context that are absent are computed with, and count. `self_conditioned` is the share of updates that
    predict twice.
    """
    passes = 3 + self_conditioned * config.self_condition * (order is None)
    return passes * forward_flops(config, config.context_canvases, palette, order)

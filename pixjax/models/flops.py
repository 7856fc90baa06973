"""The cost of a denoiser: floating-point operations, counted as two a multiply-add, of matrix products alone."""

from pixjax.diffusion.decision_order import DecisionOrder
from pixjax.diffusion.posterior import Palette
from pixjax.models.presets import Architecture


def forward_flops(
    arch: Architecture,
    context_canvases: int = 0,
    palette: Palette | None = None,
    order: DecisionOrder | None = None,
) -> int:
    """Of one canvas through the denoiser once, with so many canvases of context.

    In an order, of all its blocks at once, as in training: the cells twice over, noisy and clean, and the patches
    twice where a block has several.
    """
    rows, columns = arch.grid
    patches, width = rows * columns, arch.width
    values = arch.patch[0] * arch.patch[1] * 3
    hidden = arch.mlp_width
    own = 1 if order is None or order.is_within_patches else 2
    canvases = own + context_canvases
    total = 2 * patches * (canvases * (values * arch.bottleneck + arch.bottleneck * width))
    if order is None:
        total += 2 * patches * width * values
    if arch.self_condition and order is None:
        total += 2 * patches * values * arch.bottleneck
    if palette is not None:
        values = arch.cell_width if arch.cell_layers else palette.vocab_size
        ends = palette.is_input + palette.is_output
        total += own * 2 * patches * width * arch.patch[0] * arch.patch[1] * values * ends
        streams = 1 if order is None else 2
        taps = streams * (2 * arch.cell_reach + 1)
        if order is not None and order.block == 1:  # both see the same cells before, and beside them their own
            taps = arch.cell_reach + 2
        a_block = taps * arch.cell_width * 2 * arch.cell_width + streams * 2 * arch.cell_width**2
        cells, vocab = palette.codec.capacity, palette.vocab_size
        total += 2 * cells * 2 * arch.cell_layers * a_block
        if order is not None:  # of the last layer the clean stream is not needed
            total -= 2 * cells * (arch.cell_layers > 0) * (a_block - _of_noisy(arch, order))
        if arch.cell_layers:
            total += 2 * cells * (streams + 1) * vocab * arch.cell_width  # into them and out of them
        if palette.is_output:
            total += 2 * cells * vocab * 3 * palette.codec.color_code.pixels  # the mean colour
    conditions = own + (context_canvases > 0)  # one t for the canvas, another for what is clean
    patches *= canvases
    total += 2 * (256 * width + width * width + 2 * width * width)  # of t, and the last modulation
    start = arch.in_context_start if arch.in_context_tokens else 0
    for first, last, tokens in ((0, start, patches), (start, arch.depth, patches + arch.in_context_tokens)):
        mlps = 1 + arch.modality_mlp  # both are computed, and one is taken
        a_token = 2 * (4 * width * width + 3 * mlps * width * hidden) + 4 * tokens * width  # matrices, scores, mixing
        total += (last - first) * (tokens * a_token + conditions * 2 * 6 * width * width)
    return total


def _of_noisy(arch: Architecture, order: DecisionOrder) -> int:
    """Of a layer over cells, what the noisy stream takes of it."""
    taps = arch.cell_reach + 1 if order.block == 1 else 2 * arch.cell_reach + 1
    return taps * arch.cell_width * 2 * arch.cell_width + 2 * arch.cell_width**2


def training_flops(
    arch: Architecture,
    self_conditioned: float = 0.0,
    palette: Palette | None = None,
    order: DecisionOrder | None = None,
) -> float:
    """Of one canvas in one update: the backward pass costs twice the forward. Recomputation is not counted.

    Canvases of context that are absent are computed with, and count. `self_conditioned` is the share of updates that
    predict twice.
    """
    passes = 3 + self_conditioned * arch.self_condition * (order is None)
    return passes * forward_flops(arch, arch.context_canvases, palette, order)

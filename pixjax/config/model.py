"""The network, and the canvases that it sees."""

import dataclasses
import math
from typing import Literal

from pixjax.config_values import require_range
from pixjax.errors import require
from pixjax.notation import MAX_CANVAS_SIZE, parse_patch_size

Tagging = Literal["none", "marker", "condition", "both"]
Remat = Literal["none", "full", "dots"]
Attention = Literal["auto", "xla", "cudnn", "heads_first"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The denoiser. Zero in a size means: as the variant has it (-1 in what may be zero).

    `pixjax.models.presets.resolve` puts the numbers in their place, and all that computes goes by what it returns.
    """

    variant: str = "S"  # Ti, S, B, L or H: pixjax/models/presets.py
    canvas_size: int = 64  # pixels a side
    patch_size: str = "4"  # "4", or "1x16": height x width
    tagging: Tagging = "marker"  # how the modality is carried
    text_condition: bool = False  # False: no condition means text; True: text has its own type embedding
    num_classes: int = 0  # labels of natural images; 0: not conditioned on
    in_context_tokens: int = -1  # tokens that carry type and class beside the patches
    in_context_start: int = -1  # the block before which they join
    depth: int = 0
    width: int = 0
    heads: int = 0
    bottleneck: int = 0  # width of the bottleneck in the patch embedding
    dropout: float = 0.0  # in the middle half of the blocks
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on accelerators, float32 on a CPU
    attention: Attention = "auto"  # pixjax/models/attention.py
    remat: Remat = "none"  # what the backward pass recomputes: full: a block; dots: all of it but matrix products
    rope: Literal["2d", "1d"] = "2d"  # a patch turns with its row and its column, or with its place in reading order
    modality_mlp: bool = False  # images have feed-forward layers of their own, under the same attention
    scan_layers: bool = True  # one compiled block, repeated; False: faster steps on a CPU, slower compilation
    self_condition: bool = False  # the network also sees what it predicted the step before
    context_canvases: int = 0  # clean canvases (a prompt, a page before) that may condition the one denoised
    codebook_head: bool = False  # text canvases: logits over legal colours beside their matched filter, not pixels
    codebook_input: bool = False  # text canvases: the network also sees the probability of each legal colour
    cell_layers: int = 0  # text canvases: layers over single cells in reading order, below and above the transformer
    cell_width: int = 64  # of these layers
    cell_reach: int = 2  # cells on each side that one of these layers looks at

    def __post_init__(self):
        require(
            0 < self.canvas_size <= MAX_CANVAS_SIZE,
            f"model.canvas_size={self.canvas_size} has to be from 1 to {MAX_CANVAS_SIZE}",
        )
        for side in self.patch:
            require(
                self.canvas_size % side == 0,
                f"model.canvas_size={self.canvas_size} is not divisible by model.patch_size={self.patch_size}: "
                "choose a patch whose sides divide the canvas",
            )
        sizes = dict.fromkeys(
            ("depth", "width", "heads", "bottleneck", "num_classes", "context_canvases", "cell_layers"), (0, math.inf)
        ) | dict.fromkeys(("cell_width", "cell_reach"), (1, math.inf))
        require_range("model", self, **sizes, in_context_tokens=(-1, math.inf), in_context_start=(-1, math.inf))
        require(
            not self.modality_mlp or self.uses_condition,
            "model.modality_mlp=True goes by the type condition: set model.tagging to 'condition' or 'both'",
        )
        require(
            not self.cell_layers or (self.codebook_head and self.codebook_input),
            f"model.cell_layers={self.cell_layers} stand between the input and the head of text: set "
            "model.codebook_head=True and model.codebook_input=True",
        )
        require(0 <= self.dropout < 1, f"model.dropout={self.dropout} has to be in [0, 1)")

    @property
    def patch(self) -> tuple[int, int]:
        """(height, width) of a patch, in pixels."""
        return parse_patch_size(self.patch_size)

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches."""
        return self.canvas_size // self.patch[0], self.canvas_size // self.patch[1]

    @property
    def head_width(self) -> int:
        """Of a resolved config."""
        return self.width // self.heads

    @property
    def uses_marker(self) -> bool:
        return self.tagging in ("marker", "both")

    @property
    def uses_condition(self) -> bool:
        return self.tagging in ("condition", "both")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """How text becomes colours: the arguments of `pixjax.codec.CanvasCodec`."""

    tokenizer: str = "bytes"  # bytes, chars27, FILE.json, FILE.model, or a folder with vocab.json and merges.txt
    normalize: bool = False  # chars27: spell digits, strip accents, blank the rest, instead of refusing
    code: str = "radix:auto:1"  # base256, or radix:LEVELS|auto:PIXELS[:counting|gray|permuted]
    layout: str = "raster"  # or patch
    marker: bool = True  # the top-left pixels say text or image
    marker_size: int = 1  # pixels a side of the marker

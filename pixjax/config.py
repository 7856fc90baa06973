"""The configuration: every key, its default and its checks, in one place.

A file in `configs/` starts from `default_config()`, an `ml_collections.ConfigDict`, and changes what differs.
`Config.from_dict` turns the result into frozen dataclasses once, at the boundary; nothing behind it sees a dict.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from pixjax.config_values import build, keys_of
from pixjax.errors import require
from pixjax.notation import parse_blocks, parse_grid, parse_patch_size, parse_time_law, split_sources

MAX_SEED = 2**31 - 1
Tagging = Literal["none", "marker", "condition", "both"]
Remat = Literal["none", "full", "dots"]
Attention = Literal["auto", "xla", "cudnn", "heads_first"]


def require_seed(seed: int) -> None:
    """Raises `InputError` for what is no seed of samples."""
    require(0 <= seed <= MAX_SEED, f"--seed={seed} has to be between 0 and {MAX_SEED}")


def _require_range(section: str, config: Any, **ranges: tuple[float, float]) -> None:
    """Each key of the config lies between two values, both included."""
    for key, (low, high) in ranges.items():
        value = getattr(config, key)
        limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        require(low <= value <= high, f"{section}.{key}={value} has to be {limits}")


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
        require(self.canvas_size > 0, f"model.canvas_size={self.canvas_size} has to be positive")
        for side in self.patch:
            require(
                self.canvas_size % side == 0,
                f"model.canvas_size={self.canvas_size} is not divisible by model.patch_size={self.patch_size}: "
                "choose a patch whose sides divide the canvas",
            )
        sizes = dict.fromkeys(
            ("depth", "width", "heads", "bottleneck", "num_classes", "context_canvases", "cell_layers"), (0, math.inf)
        ) | dict.fromkeys(("cell_width", "cell_reach"), (1, math.inf))
        _require_range("model", self, **sizes, in_context_tokens=(-1, math.inf), in_context_start=(-1, math.inf))
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    batch_size: int = 256  # canvases a step, over all devices
    workers: int = 0  # processes that prepare batches; 0: in the training process
    text_ratio: float = 0.5  # share of text canvases, exact over every block of the stream
    sources: tuple[str, ...] = ("demo:text", "demo:images")
    weights: tuple[float, ...] = ()  # one a source, instead of text_ratio
    flip: bool = True  # natural images are mirrored at random
    shuffle_pixels: bool = False  # of natural images, all by one permutation: a control that has no structure
    max_bad_fraction: float = 0.01  # of images that do not decode, or rows that are no text, before the run stops
    context_pages: int = 0  # canvases of the same document, before a canvas of text, that are its context

    def __post_init__(self):
        object.__setattr__(self, "sources", split_sources(self.sources))
        require(self.batch_size > 0, f"data.batch_size={self.batch_size} has to be positive")
        require(self.workers >= 0, f"data.workers={self.workers} has to be 0 or more")
        _require_range("data", self, text_ratio=(0, 1), max_bad_fraction=(0, 1))
        require(self.context_pages >= 0, f"data.context_pages={self.context_pages} has to be 0 or more")
        require(len(self.sources) > 0, "data.sources is empty: name at least one, for instance demo:text")
        require(
            not self.weights or len(self.weights) == len(self.sources),
            f"data.weights has {len(self.weights)} entries for {len(self.sources)} sources: give one a source, or none",
        )
        require(all(w > 0 for w in self.weights), "data.weights has to be positive: leave a source out instead")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeConfig:
    """The law of t in training, for each modality: `logit_normal:MEAN:STD`, `log_sigma:MEAN:STD` (σ of z / t),
    `log_snr:MIN:MAX` (uniform in the log-SNR), `adaptive:MIN:MAX` (of text with a text head: in proportion to the
    information that each log-SNR takes from the data, as the run finds it: pixjax/diffusion/time_law.py), or
    `uniform`.
    """

    text: str = "logit_normal:-0.8:0.8"
    image: str = "logit_normal:-0.8:0.8"

    def __post_init__(self):
        for law in (self.text, self.image):
            parse_time_law(law)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlocksConfig:
    """How many cells of a text canvas are decided together, one block after another: `whole` (all at once), a number
    (`1`: letter by letter), or shares of canvases, `1:0.6,8:0.1,whole:0.3`. Images are one block.
    """

    text: str = "whole"

    def __post_init__(self):
        parse_blocks(self.text)

    @property
    def shares(self) -> dict[str, float]:
        return parse_blocks(self.text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    loss: Literal["v", "x"] = "v"  # v: MSE of x over max(1-t, t_eps)²; x: plain MSE
    noise_scale: float = 1.0
    t_eps: float = 0.05  # floor of 1-t in the v loss; sampling is not limited by it
    text_loss: Literal["cross_entropy", "pixels"] = "cross_entropy"  # of a text head; pixels: as any canvas
    marker_first: float = 0.0  # share of canvases whose marker is clean from the start; above 0 it is decided first
    text_weight: float = 1.0  # of a text canvas in the loss, where an image has 1
    time: TimeConfig = dataclasses.field(default_factory=TimeConfig)
    blocks: BlocksConfig = dataclasses.field(default_factory=BlocksConfig)  # in which orders text is learned

    def __post_init__(self):
        require(self.noise_scale > 0, f"diffusion.noise_scale={self.noise_scale} has to be positive")
        _require_range("diffusion", self, marker_first=(0, 1))
        require(self.text_weight > 0, f"diffusion.text_weight={self.text_weight} has to be positive")
        require(0 < self.t_eps < 1, f"diffusion.t_eps={self.t_eps} has to be between 0 and 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Devices along each axis of the mesh; one of them may be -1: all that are left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    steps: int = 100_000
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 3  # the newest
    keep_every: int = 0  # also those at every so many steps
    keep_best: int = 0  # also so many with the lowest best_metric when they were saved
    best_metric: str = "loss"  # a name in metrics.jsonl
    save_retry_seconds: float = 600.0  # a save that fails is tried again for so long; then the run stops
    hang_minutes: float = 15.0  # a batch, step or save that takes longer is named, with its stacks in hang.txt; 0: none
    log_every: int = 100
    seed: int = 0
    learning_rate: float = 2e-4
    warmup_steps: int = 1_000
    decay: Literal["constant", "cosine"] = "constant"  # after the warm-up: constant, or cosine to zero at the last step
    weight_decay: float = 0.0
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for matrices; adamw for all else
    muon_matrices: Literal["blocks", "hidden"] = "blocks"  # hidden: of the text layers and the embeddings as well
    beta1: float = 0.9
    beta2: float = 0.95
    accumulate: int = 1  # parts that a batch is computed in, for a batch that does not fit into memory
    clip_norm: float = 1.0  # of the gradient over all parameters; 0: not clipped
    ema_decays: tuple[float, ...] = (0.9999, 0.9996)  # reached after a warm-up of (1 + step) / (10 + step)
    label_dropout: float = 0.1  # share of labels hidden, for guidance
    type_dropout: float = 0.0  # share of type conditions hidden, and the label with them, for guidance to a modality
    self_condition: float = 0.5  # share of steps with an earlier prediction, in a model with model.self_condition
    context_dropout: float = 0.1  # share of canvases whose context is hidden, for guidance and for canvases without one
    max_skipped_updates: int = 10  # their gradient was not finite; more in a row of windows, and the run stops
    profile_steps: str = ""  # "10-13": a profile of these steps, for TensorBoard, in WORKDIR/profile
    init_from: str = ""  # a workdir whose parameters this run starts from
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)

    def __post_init__(self):
        for key in ("steps", "checkpoint_every", "keep_checkpoints", "log_every", "accumulate"):
            require(getattr(self, key) > 0, f"training.{key}={getattr(self, key)} has to be positive")
        require(
            len(self.ema_decays) > 0,
            "training.ema_decays is empty: give at least one, for instance (0.9999,)",
        )
        require(all(0 <= d < 1 for d in self.ema_decays), "training.ema_decays have to be in [0, 1)")
        for key in ("beta1", "beta2"):
            require(0 <= getattr(self, key) < 1, f"training.{key}={getattr(self, key)} has to be in [0, 1)")
        positive = (
            "keep_every",
            "keep_best",
            "save_retry_seconds",
            "hang_minutes",
            "learning_rate",
            "warmup_steps",
            "weight_decay",
            "clip_norm",
            "max_skipped_updates",
        )
        shares = dict.fromkeys(("label_dropout", "type_dropout", "self_condition", "context_dropout"), (0, 1))
        _require_range("training", self, **dict.fromkeys(positive, (0, math.inf)), **shares, seed=(0, MAX_SEED))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The times that a sampler visits, for each modality: `uniform` (in t), `log_snr:MIN:MAX` (uniform in the log-SNR)
    or `edm:SIGMA_MIN:SIGMA_MAX:RHO`; the numbers may be left out.
    """

    text: str = "uniform"
    image: str = "uniform"

    def __post_init__(self):
        for grid in (self.text, self.image):
            parse_grid(grid)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampledBlocksConfig:
    text: str = ""  # one of those in diffusion.blocks.text; the first of them unless given

    def __post_init__(self):
        require(
            not self.text or len(parse_blocks(self.text)) == 1,
            f"sampling.blocks.text={self.text!r} are several: a canvas is made in one order",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    sampler: Literal["heun", "euler", "dpm++", "stochastic"] = "heun"
    steps: int = 50
    batch_size: int = 16  # canvases denoised at once
    grid: GridConfig = dataclasses.field(default_factory=GridConfig)
    blocks: SampledBlocksConfig = dataclasses.field(default_factory=SampledBlocksConfig)  # of text
    temperature: float = 1.0  # of text that is written letter by letter: 0 is always the likeliest
    top_p: float = 1.0  # of it: of the likeliest ids that together have this share, and no others
    churn: float = 1.0  # of the stochastic sampler: 0 draws no noise anew, as euler; 1 all that it may, ancestral
    asymmetry: float = 0.0  # steps by which canvases run ahead of the time the network is told (Bit Diffusion)
    guidance: float = 1.0  # how much of what a condition changes counts; 1: no guidance
    guidance_interval: tuple[float, ...] = (0.0, 1.0)  # the times between which it holds
    project_from: float = 1.0  # the time from which text is drawn toward legal colours; 1: never
    project_strength: float = 1.0  # how far: 1 is all the way
    repeats: int = 5  # how often each stretch is walked when a canvas is filled in (RePaint)
    stretch: int = 2  # steps of such a stretch

    def __post_init__(self):
        require(self.steps > 0, f"sampling.steps={self.steps} has to be positive")
        require(self.batch_size > 0, f"sampling.batch_size={self.batch_size} has to be positive")
        require(0 < self.top_p <= 1, f"sampling.top_p={self.top_p} has to be above 0 and at most 1")
        at_least_one = dict.fromkeys(("repeats", "stretch"), (1, math.inf))
        shares = dict.fromkeys(("churn", "project_from", "project_strength"), (0, 1))
        anything = dict.fromkeys(("asymmetry", "guidance", "temperature"), (0, math.inf))
        _require_range("sampling", self, **at_least_one, **shares, **anything)
        interval = self.guidance_interval
        require(
            len(interval) == 2 and 0 <= interval[0] < interval[1] <= 1,
            f"sampling.guidance_interval={interval} is no interval of time: give two, ascending, from 0 to 1",
        )
        require(
            self.sampler != "heun" or not self.asymmetry,
            f"sampling.asymmetry={self.asymmetry} has no meaning for heun, which predicts at both ends of a step: "
            "choose another sampler, or 0",
        )

    def changed(self, **changes: Any) -> "SamplingConfig":
        """With other values; raises `InputError` as `Config.from_dict` does."""
        return build(SamplingConfig, dataclasses.asdict(self) | changes, prefix="sampling.", known_keys=known_keys)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What `pixjax evaluate` measures on; nothing of it touches training."""

    validation: tuple[str, ...] = ()  # sources on which choices are made; none: the training sources
    test: tuple[str, ...] = ()  # sources that training never reads, on which figures are measured
    canvases: int = 512  # of each modality and set, at most
    samples: int = 64  # canvases generated of each modality
    blocks: tuple[str, ...] = ()  # orders in which text is measured, the headline first; those it was trained for
    num_times: int = 16  # noisy canvases that the network denoises for each canvas of the likelihood
    batch_size: int = 64  # canvases denoised at once
    reference_characters: int = 2**25  # of training text, for n-grams, vocabulary and copied text

    def __post_init__(self):
        for key in ("validation", "test"):
            object.__setattr__(self, key, split_sources(getattr(self, key)))
        object.__setattr__(self, "blocks", tuple(part for text in self.blocks for part in text.split(",")))
        for name in self.blocks:
            require(
                name == "whole" or (name.isdecimal() and int(name) > 0),
                f"evaluation.blocks={name!r} is no order: write whole, or a number of cells such as 1",
            )
        counts = dict.fromkeys(("num_times", "batch_size", "reference_characters"), (1, math.inf))
        _require_range("evaluation", self, canvases=(2, math.inf), samples=(0, math.inf), **counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run. Immutable, comparable, and equal to its JSON form."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    codec: CodecConfig = dataclasses.field(default_factory=CodecConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    diffusion: DiffusionConfig = dataclasses.field(default_factory=DiffusionConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)

    def __post_init__(self):
        require(
            self.model.uses_marker == self.codec.marker,
            f"model.tagging={self.model.tagging!r} and codec.marker={self.codec.marker} contradict each other: "
            f"set codec.marker={self.model.uses_marker}",
        )
        require(
            not self.diffusion.marker_first or self.codec.marker,
            f"diffusion.marker_first={self.diffusion.marker_first} needs a marker: set model.tagging to 'marker' or "
            "'both' and codec.marker=True",
        )
        require(
            self.model.tagging != "marker"
            or self.diffusion.marker_first > 0
            or not (self.model.codebook_head or self.model.codebook_input),
            "model.codebook_head and model.codebook_input are for canvases known to be text, which a marker as noisy "
            "as its canvas does not tell: set diffusion.marker_first=0.9, or model.tagging to 'condition' or 'both', "
            "or to 'none' for text alone",
        )
        require(
            not self.training.type_dropout or (self.model.uses_condition and self.model.text_condition),
            f"training.type_dropout={self.training.type_dropout} hides the type, which has to mean neither text nor "
            "image then: set model.tagging='condition' or 'both', and model.text_condition=True",
        )
        require(
            self.diffusion.blocks.text == "whole" or (self.model.codebook_head and self.model.codebook_input),
            f"diffusion.blocks.text={self.diffusion.blocks.text!r} needs the text head: set "
            "model.codebook_head=True and model.codebook_input=True",
        )
        require(
            self.data.context_pages <= self.model.context_canvases,
            f"data.context_pages={self.data.context_pages} do not fit on model.context_canvases="
            f"{self.model.context_canvases}: set model.context_canvases={self.data.context_pages} or more",
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def codec_arguments(self) -> dict[str, Any]:
        """What `CanvasCodec` is made with, for the canvases of this run."""
        return dataclasses.asdict(self.codec) | {
            "canvas_size": self.model.canvas_size,
            "patch_size": self.model.patch_size,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """Raises `InputError` for an unknown key (names the nearest), a wrong type or a value out of range."""
        return build(cls, values, prefix="", known_keys=known_keys)


def known_keys() -> list[str]:
    """Every dotted key, for instance `model.patch_size`."""
    return keys_of(Config)


def default_config():
    """The defaults as a `ConfigDict`, to be changed by a file in `configs/`; `Config.from_dict` checks the result."""
    from ml_collections import ConfigDict

    return ConfigDict(Config().to_dict(), type_safe=False)

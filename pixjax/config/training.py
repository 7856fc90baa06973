"""What a run learns from, what it learns, and how."""

import dataclasses
import math
from typing import Literal

from pixjax.config_values import require_range
from pixjax.errors import require
from pixjax.notation import parse_blocks, parse_time_law, split_sources

MAX_SEED = 2**31 - 1


def require_seed(seed: int) -> None:
    """Raises `InputError` for what is no seed of samples."""
    require(0 <= seed <= MAX_SEED, f"--seed={seed} has to be between 0 and {MAX_SEED}")


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
        require(0 < self.batch_size < 2**31, f"data.batch_size={self.batch_size} has to be from 1 to {2**31 - 1}")
        require(self.workers >= 0, f"data.workers={self.workers} has to be 0 or more")
        require_range("data", self, text_ratio=(0, 1), max_bad_fraction=(0, 1))
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
        require_range("diffusion", self, marker_first=(0, 1))
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
        require_range("training", self, **dict.fromkeys(positive, (0, math.inf)), **shares, seed=(0, MAX_SEED))

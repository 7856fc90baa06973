"""What is made with a trained network, and how it is measured."""

import dataclasses
import math
from typing import Any, Literal

from pixjax.config_values import build, keys_of, require_range
from pixjax.errors import require
from pixjax.notation import parse_blocks, parse_grid, split_sources


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
        require_range("sampling", self, **at_least_one, **shares, **anything)
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
        values = dataclasses.asdict(self) | changes
        return build(SamplingConfig, values, "sampling.", lambda: keys_of(SamplingConfig, "sampling."))


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
    denoising: bool = True  # also curves of the error by time, which take half of an evaluation
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
        require_range("evaluation", self, canvases=(2, math.inf), samples=(0, math.inf), **counts)

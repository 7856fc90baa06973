"""The configuration: every key, its default and its checks.

A file in `configs/` starts from `default_config()`, an `ml_collections.ConfigDict`, and changes what differs.
`Config.from_dict` turns the result into frozen dataclasses once, at the boundary; nothing behind it sees a dict.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pixjax.config.model import Attention, CodecConfig, ModelConfig
from pixjax.config.sampling import EvaluationConfig, GridConfig, SampledBlocksConfig, SamplingConfig
from pixjax.config.training import (
    MAX_SEED,
    DataConfig,
    DiffusionConfig,
    MeshConfig,
    TimeConfig,
    TrainingConfig,
    require_seed,
)
from pixjax.config_values import build, keys_of
from pixjax.errors import require

__all__ = [
    "MAX_SEED",
    "Attention",
    "CodecConfig",
    "Config",
    "DataConfig",
    "DiffusionConfig",
    "EvaluationConfig",
    "GridConfig",
    "MeshConfig",
    "ModelConfig",
    "SampledBlocksConfig",
    "SamplingConfig",
    "TimeConfig",
    "TrainingConfig",
    "default_config",
    "known_keys",
    "require_seed",
]


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

"""The programs of a run, compiled once for all runs of a process that compute the same.

A run that goes on, is trained for longer, or is one of several in a notebook finds the programs of the one before.
"""

import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh

from pixjax.codec import CanvasCodec
from pixjax.config import Config, EvaluationConfig, SamplingConfig, TrainingConfig
from pixjax.models import JiT
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import jit_train_step, place_state
from pixjax.training.state import TrainState, init_state, make_model, start_state
from pixjax.training.step import make_train_step

_KEPT = 8  # programs of so many runs
# What training does beside its updates; how many of these there are counts where the learning rate decays.
_BESIDE = (
    "checkpoint_every", "keep_checkpoints", "keep_every", "keep_best", "best_metric", "save_retry_seconds",
    "hang_minutes", "log_every", "max_skipped_updates", "profile_steps", "init_from",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Programs:
    model: JiT
    like: TrainState  # a `ShapeDtypeStruct` with its sharding for each array
    init: Any  # () -> state: of new parameters
    start: Any  # parameters -> state: of those of another run
    update: Any  # (state, batch) -> (state, metrics); the state that goes in is given up


def programs_of(config: Config, codec: CanvasCodec, mesh: Mesh) -> Programs:
    """The programs of a run on a mesh. Raises `InputError` as `place_state` does."""
    return _programs(as_computed(config), codec, mesh)


def as_computed(config: Config) -> Config:
    """The config but for what no program of training sees: two runs that differ in nothing else compute the same."""
    names = _BESIDE if config.training.decay != "constant" else (*_BESIDE, "steps")
    default = TrainingConfig()
    training = dataclasses.replace(config.training, **{name: getattr(default, name) for name in names})
    return dataclasses.replace(config, training=training, sampling=SamplingConfig(), evaluation=EvaluationConfig())


@functools.lru_cache(_KEPT)
def _programs(config: Config, codec: CanvasCodec, mesh: Mesh) -> Programs:
    model, optimizer = make_model(config, codec), make_optimizer(config.training)
    like = place_state(config, model, optimizer, mesh)
    shardings = jax.tree.map(lambda x: x.sharding, like)
    return Programs(
        model=model,
        like=like,
        init=jax.jit(lambda: init_state(config, model, optimizer), out_shardings=shardings),
        start=jax.jit(lambda params: start_state(config, params, optimizer), out_shardings=shardings),
        update=jit_train_step(make_train_step(config, codec, model, optimizer), like, mesh),
    )

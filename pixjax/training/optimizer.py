"""AdamW or Muon with a warm-up, and the averages of the parameters."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from pixjax.config import TrainingConfig

NEWTON_SCHULZ_STEPS = 5
HIDDEN = re.compile("cells_(below|above)_|embed_ids|out_ids|embed_out")  # matrices outside of the blocks
MATRIX = optax.contrib.MuonDimensionNumbers(reduction_axis=-2, output_axis=-1)

Matrices = Callable[[Any], Any]  # a tree of parameters to that of their axes: `MATRIX`, and None for what is not one


def learning_rate_schedule(config: TrainingConfig) -> optax.Schedule:
    warmup = optax.linear_schedule(0.0, config.learning_rate, max(config.warmup_steps, 1))
    if config.decay == "cosine":
        after = optax.cosine_decay_schedule(config.learning_rate, max(config.steps - config.warmup_steps, 1))
    else:
        after = optax.constant_schedule(config.learning_rate)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Clip by the global norm, then AdamW; biases, norms and embeddings are not decayed.

    With `optimizer="muon"` the matrices of the blocks follow Muon (Jordan et al. 2024), its steps as long as AdamW's,
    so that one learning rate serves both (arXiv 2502.16982); all else AdamW with Nesterov's momentum. Those of the
    layers over cells, of the text head and of the patch embedding do so with `muon_matrices="hidden"`. Its products are
    the only ones on float32 that are left at the device's own precision, one bfloat16 pass on a TPU: Newton-Schulz is
    meant for bfloat16, and what it finds has singular values of 0.7 to 1.2 in float32 as well.

    Its updates are a direction of descent for a learning rate of one: `train_step` scales them by the rate of its step,
    so that the schedule goes by the step and nothing else.
    """

    def decayed(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    b1, b2, decay = config.beta1, config.beta2, config.weight_decay
    if config.optimizer == "muon":
        # Its own decay would know no mask outside of the blocks.
        turn = muon(1.0, functools.partial(_matrices, config), b1=b1, b2=b2)
        descend = optax.chain(turn, optax.add_decayed_weights(-decay, mask=decayed))
    else:
        descend = optax.adamw(1.0, b1=b1, b2=b2, weight_decay=decay, mask=decayed)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, descend)


def muon(rate: optax.ScalarOrSchedule, matrices: Matrices, *, b1: float, b2: float) -> optax.GradientTransformation:
    """Muon for `matrices(params)`, its steps as long as AdamW's, and AdamW without decay for all else."""
    return optax.contrib.muon(
        rate,
        adam_b1=b1,
        adam_b2=b2,
        ns_steps=NEWTON_SCHULZ_STEPS,
        muon_weight_dimension_numbers=matrices,
        consistent_rms=0.2,
    )


def optimizer_flops(config: TrainingConfig, params) -> int:
    """The FLOPs of the matrix products of one update, counted as two a multiply-add; AdamW has none.

    Args:
      params: arrays, or their shapes.
    """
    return newton_schulz_flops(params, _matrices(config, params)) if config.optimizer == "muon" else 0


def newton_schulz_flops(params, matrices) -> int:
    """The FLOPs of Muon in one update, for the matrices of `params` that `matrices` names the axes of.

    A step of Newton-Schulz on an m x n matrix X, m <= n, finds A = XX', AA and (bA + cAA)X: 4m²n + 2m³.
    """

    def a_step(value, axes) -> int:
        if axes is None:
            return 0
        m, n = sorted((value.shape[axes.reduction_axis], value.shape[axes.output_axis]))
        return value.size // (m * n) * (4 * m * m * n + 2 * m**3)

    steps = jax.tree.map(a_step, params, matrices)
    return NEWTON_SCHULZ_STEPS * sum(jax.tree.leaves(steps))


def _matrices(config: TrainingConfig, params):
    """Which axes of Muon's matrices are in and out, those of the blocks being stacked; None for what is not one."""

    def axes(path, value):
        names = [part.key for part in path]
        is_hidden = value.ndim == 3 or (config.muon_matrices == "hidden" and HIDDEN.match(names[0]))
        return MATRIX if names[-1] == "kernel" and is_hidden and "modulation" not in names else None

    return jax.tree_util.tree_map_with_path(axes, params)


def update_ema(ema, params, step: jax.Array, decay: float):
    """One step of the exponential moving average, whose decay grows to `decay` over the first steps."""
    kept = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda average, new: kept * average + (1 - kept) * new, ema, params)

"""AdamW with a warm-up, and the averages of the parameters."""

import jax
import jax.numpy as jnp
import optax

from pixjax.config import TrainingConfig


def learning_rate_schedule(config: TrainingConfig) -> optax.Schedule:
    warmup = optax.linear_schedule(0.0, config.learning_rate, max(config.warmup_steps, 1))
    if config.decay == "cosine":
        after = optax.cosine_decay_schedule(config.learning_rate, max(config.steps - config.warmup_steps, 1))
    else:
        after = optax.constant_schedule(config.learning_rate)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Clip by the global norm, then AdamW; biases, norms and embeddings are not decayed.

    Its updates are a direction of descent for a learning rate of one: `train_step` scales them by the rate of its step,
    so that the schedule goes by the step and nothing else.
    """

    def decayed(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

    adamw = optax.adamw(1.0, b1=config.beta1, b2=config.beta2, weight_decay=config.weight_decay, mask=decayed)
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, adamw)


def update_ema(ema, params, step: jax.Array, decay: float):
    """One step of the exponential moving average, whose decay grows to `decay` over the first steps."""
    kept = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda average, new: kept * average + (1 - kept) * new, ema, params)

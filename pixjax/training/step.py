"""One update: noise, denoise, compare, descend, average."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from pixjax.codec import CanvasCodec, to_float
from pixjax.config import Config
from pixjax.diffusion import denoising_loss, noisy, sample_times
from pixjax.models import NO_LABEL, JiT, denoise, type_condition
from pixjax.training.metrics import denoising_metrics
from pixjax.training.optimizer import learning_rate_schedule, update_ema
from pixjax.training.state import TrainState

Batch = dict[str, Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    config: Config, codec: CanvasCodec, model: JiT, optimizer: optax.GradientTransformation
) -> TrainStep:
    """The pure function (state, batch) -> (state, metrics); its randomness is fold_in(seed, step)."""
    training, diffusion = config.training, config.diffusion
    schedule = learning_rate_schedule(training)
    cells = jnp.asarray(codec.cell_index[:, 0])

    def loss_fn(params, batch: Batch, key: jax.Array):
        time_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
        x, modality, mask = to_float(batch["canvas"]), batch["modality"], batch["loss_mask"]
        t = sample_times(time_key, modality, diffusion.time)
        z = noisy(x, jax.random.normal(noise_key, x.shape), t, diffusion.noise_scale)
        hidden = jax.random.bernoulli(label_key, training.label_dropout, modality.shape)
        label = jnp.where(hidden, NO_LABEL, batch["label"])
        x_hat = denoise(model, params, z, t, type_condition(config.model, modality), label, dropout_key=dropout_key)
        loss, mse = denoising_loss(x_hat, x, t, mask, kind=diffusion.loss, t_eps=diffusion.t_eps)
        counted = mask.reshape(len(t), -1)[:, cells]
        right = codec.decode_ids(jax.lax.stop_gradient(x_hat))[0] == codec.decode_ids(x)[0]
        correct, tokens = jnp.sum(right & counted, axis=1), jnp.sum(counted, axis=1)
        return jnp.mean(loss), denoising_metrics(loss, mse, correct, tokens, t, modality)

    def train_step(state: TrainState, batch: Batch):
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        grads, metrics = jax.grad(loss_fn, has_aux=True)(state.params, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = {d: update_ema(average, params, state.step, float(d)) for d, average in state.ema.items()}
        metrics["gradient_norm"] = jnp.stack([optax.global_norm(grads), 1.0])
        metrics["learning_rate"] = jnp.stack([schedule(state.step), 1.0])
        return TrainState(step=state.step + 1, params=params, opt_state=opt_state, ema=ema), metrics

    return train_step

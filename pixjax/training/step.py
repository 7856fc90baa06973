"""One update: noise, denoise, compare, descend, average."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from pixjax.codec import TEXT, CanvasCodec, to_float
from pixjax.config import Config
from pixjax.diffusion import (
    WHOLE,
    DecisionOrder,
    Information,
    denoising_loss,
    noisy,
    noisy_blocks,
    reading_loss,
    remember,
    sample_times,
    seen_information,
    time_law,
)
from pixjax.models import NO_LABEL, NO_TYPE, Context, JiT, Written, predict, type_condition
from pixjax.models.on_mesh import batch_shards
from pixjax.models.text_rows import ANY_ROW
from pixjax.training.metrics import denoising_metrics, of_text
from pixjax.training.optimizer import learning_rate_schedule, update_ema
from pixjax.training.rows import Rows, rows_by_order
from pixjax.training.state import TrainState

Batch = dict[str, Array]
Problem = dict[str, Any]  # arrays, and the `Context` or None; each has an axis for the canvases

# fold_in(key, i) is split(key)[i]: this one is beyond what is split, so that a run without context draws as ever.
_CONTEXT_KEY = 1_000
_ORDER_KEY = 2_000  # and the size of its blocks
_MARKER_KEY = 1_001

_OF_CANVASES = ("loss", "mse", "correct", "tokens", "t", "modality", "is_read")

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]


def make_train_step(
    config: Config,
    codec: CanvasCodec,
    model: JiT,
    optimizer: optax.GradientTransformation,
    *,
    rows: Rows | None = None,
) -> TrainStep:
    """The pure function (state, batch) -> (state, metrics).

    Its randomness is fold_in(seed, step), drawn for the whole batch, so that `training.accumulate` changes nothing but
    rounding (and which units dropout drops). An update whose gradient is not finite is skipped, and counted in the
    metric `skipped_updates`.

    Args:
      rows: how batches are parted; those of the config unless given. With a text head its text has to be where
        `make_batches` puts it.
    """
    training, diffusion = config.training, config.diffusion
    schedule = learning_rate_schedule(training)
    cells = codec.cell_index[:, 0]
    orders = {str(order.block): order for order in model.orders}
    rows = rows or rows_by_order(config)

    def make_problem(batch: Batch, key: jax.Array, information: Information) -> Problem:
        """The batch, noised: what the model is given and what it should say."""
        time_key, noise_key, label_key, type_key = jax.random.split(key, 4)
        x, modality = to_float(batch["canvas"]), batch["modality"]
        t = sample_times(time_key, modality, diffusion.time, diffusion.noise_scale, information)
        z = noisy(x, jax.random.normal(noise_key, x.shape), t, diffusion.noise_scale)
        hidden = jax.random.bernoulli(label_key, training.label_dropout, modality.shape)
        type_id = type_condition(config.model, modality)
        if training.type_dropout:
            no_type = jax.random.bernoulli(type_key, training.type_dropout, modality.shape)
            type_id, hidden = jnp.where(no_type, NO_TYPE, type_id), hidden | no_type
        label = jnp.where(hidden, NO_LABEL, batch["label"])
        problem = {"x": x, "z": z, "t": t, "modality": modality, "type_id": type_id, "label": label}
        problem |= {"mask": batch["loss_mask"], "context": make_context(batch, key)}
        if diffusion.marker_first:
            marker_key = jax.random.fold_in(key, _MARKER_KEY)
            problem = with_marker(problem, jax.random.bernoulli(marker_key, diffusion.marker_first, modality.shape))
        return problem

    def with_marker(problem: Problem, is_first: Array) -> Problem:
        """The problem with the markers of these canvases painted: they are given, and nothing to be learned."""
        given = is_first[:, None, None] & codec.marker_pixels[None]
        z = jnp.where(given[..., None], codec.mark(problem["z"], problem["modality"]), problem["z"])
        return problem | {"z": z, "mask": problem["mask"] & ~given}

    def part_by_order(problem: Problem, key: jax.Array) -> dict[str, Problem]:
        """The canvases of each order, those that are decided in blocks with a time for each of these."""
        parts = {name: rows.take(name, problem) for name in rows.of}
        for name, order in orders.items():
            text = parts[name]
            text["type_id"] = type_condition(config.model, text["modality"])  # it is known to be text
            if order.block == 1:
                t = jnp.zeros((len(text["x"]), order.codec.capacity))  # its noise says nothing, and need not be drawn
            else:
                law = time_law(diffusion.time.text, diffusion.noise_scale)
                time_key, noise_key = jax.random.split(jax.random.fold_in(key, _ORDER_KEY + order.block))
                of_block = law.sample(time_key, (len(text["x"]), order.num_blocks))
                noise = jax.random.normal(noise_key, text["x"].shape)
                text["z"], t = noisy_blocks(text["x"], noise, of_block, order, diffusion.noise_scale)
            text |= {"t": jnp.mean(t, axis=1), "cell_t": t}
        return parts

    def with_estimate(params, problem: Problem, predicts_twice: Array) -> Problem:
        """The problem with what the model makes of it at first, or zeros; no gradient goes through it."""
        given = [problem[name] for name in ("z", "t", "type_id", "label")]
        options = {"context": problem["context"], "text_rows": rows.text_rows(batch_shards())}
        first = jax.lax.cond(
            predicts_twice,
            lambda: predict(model, params, *given, **options).x_hat,
            lambda: jnp.zeros_like(problem["z"]),
        )
        return problem | {"previous": first}

    def make_context(batch: Batch, key: jax.Array) -> Context | None:
        if "context" not in batch:
            return None
        context_key = jax.random.fold_in(key, _CONTEXT_KEY)
        hidden = jax.random.bernoulli(context_key, training.context_dropout, batch["modality"].shape)
        present = batch["context_present"] & ~hidden[:, None]
        return Context(to_float(batch["context"]), present, batch["context_modality"])

    def losses(params, problem: Problem, order: DecisionOrder | None, dropout_key: jax.Array) -> Problem:
        """What is wrong with each canvas that is decided in one order."""
        x, t, modality, mask = (problem[name] for name in ("x", "t", "modality", "mask"))
        times = None if order is None or order.block == 1 else problem["cell_t"]
        text_rows = rows.text_rows(batch_shards()) if order is None else ANY_ROW
        prediction = predict(
            model,
            params,
            problem["z"],
            t,
            problem["type_id"],
            problem["label"],
            context=problem["context"],
            previous=problem.get("previous"),
            written=None if order is None else Written(x, times),
            order=order,
            text_rows=text_rows,
            dropout_key=dropout_key,
        )
        x_hat = prediction.x_hat
        loss, mse = denoising_loss(x_hat, x, t, mask, kind=diffusion.loss, t_eps=diffusion.t_eps)
        counted, ids = mask.reshape(len(t), -1)[:, cells], codec.decode_ids(x)[0]
        found = codec.decode_ids(jax.lax.stop_gradient(x_hat))[0]
        is_read = jnp.zeros(len(t), bool)
        if prediction.log_probs is not None and model.palette:
            # Text of which nothing tells is a canvas like any other: what it gets is the pixel head's.
            is_read = modality == TEXT  # in an order, for which it is known to be text
            if order is None:
                is_read &= model.palette.is_text(problem["type_id"], problem["z"])
            found = text_rows.replace(found, is_read, jnp.argmax(prediction.log_probs, axis=-1))
            if diffusion.text_loss == "cross_entropy" or order is not None:
                read = reading_loss(prediction.log_probs, text_rows.of(ids), text_rows.of(counted))
                loss = text_rows.replace(loss, is_read, read)
        right = found == ids
        correct, tokens = jnp.sum(right & counted, axis=1), jnp.sum(counted, axis=1)
        of_canvases = {"loss": loss, "mse": mse, "correct": correct, "tokens": tokens, "t": t, "modality": modality}
        return of_canvases | {"is_read": is_read & (order is None)}

    def loss_fn(params, parts: dict[str, Problem], dropout_key: jax.Array):
        of_parts = {name: losses(params, part, orders.get(name), dropout_key) for name, part in parts.items()}
        all_of_them = {key: jnp.concatenate([of[key] for of in of_parts.values()]) for key in _OF_CANVASES}
        loss, mse, correct, tokens, t, modality, is_read = (all_of_them[key] for key in _OF_CANVASES)
        weighted = jnp.where(modality == TEXT, diffusion.text_weight, 1.0) * loss  # the log compares over weights
        metrics = denoising_metrics(loss, mse, correct, tokens, t, modality)
        if orders:
            metrics |= {
                f"loss/text/blocks={name}": of_text(of["loss"], of["modality"]) for name, of in of_parts.items()
            }
        seen = seen_information(diffusion.time, mse, t, is_read, diffusion.noise_scale)
        return jnp.mean(weighted), (metrics, seen)

    def gradient(params, problems: dict[str, Problem], key: jax.Array, predicts_twice: Array):
        parts = training.accumulate

        def grad_fn(params, problems, key):
            if config.model.self_condition and WHOLE in problems:
                problems = problems | {WHOLE: with_estimate(params, problems[WHOLE], predicts_twice)}
            return jax.grad(loss_fn, has_aux=True)(params, problems, key)

        if parts == 1:
            return grad_fn(params, problems, key)

        def part(index):
            # Every parts-th canvas, so that each device takes its part from what it holds.
            mine = jax.tree.map(lambda v: v.reshape(-1, parts, *v.shape[1:])[:, index], problems)
            return grad_fn(params, mine, jax.random.fold_in(key, index))

        def add(total, index):
            return jax.tree.map(jnp.add, total, part(index)), None

        zeros = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), jax.eval_shape(part, 0))
        (grads, sums), _ = jax.lax.scan(add, zeros, jnp.arange(parts))
        return jax.tree.map(lambda g: g / parts, grads), sums

    def train_step(state: TrainState, batch: Batch):
        key = jax.random.fold_in(jax.random.key(training.seed), state.step)
        problem_key, dropout_key, twice_key = jax.random.split(key, 3)
        predicts_twice = jax.random.bernoulli(twice_key, training.self_condition)
        problem = make_problem(batch, problem_key, state.information)
        problems = part_by_order(problem, problem_key)
        grads, (metrics, seen) = gradient(state.params, problems, dropout_key, predicts_twice)
        norm = optax.global_norm(grads)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        rate = schedule(state.step)
        params = optax.apply_updates(state.params, optax.tree.scale(rate, updates))
        ema = {d: update_ema(average, params, state.step, float(d)) for d, average in state.ema.items()}
        information = remember(state.information, seen)
        updated = dataclasses.replace(state, params=params, opt_state=opt_state, ema=ema, information=information)
        kept = jax.tree.map(lambda new, old: jnp.where(jnp.isfinite(norm), new, old), updated, state)
        metrics |= {
            "gradient_norm": jnp.stack([norm, 1.0]),
            "learning_rate": jnp.stack([rate, 1.0]),
            "skipped_updates": jnp.stack([1.0 - jnp.isfinite(norm), 1.0]),
        }
        return dataclasses.replace(kept, step=state.step + 1), metrics

    return train_step

"""Training on all devices, the batch split over them, and the measure of what was learnt."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Shaped

from pixjax.errors import RunError
from pixjax.training.mesh import batch_sharding, replicated
from pixjax.training.optimizer import MATRIX, muon, newton_schulz_flops

_AHEAD = 32  # steps that the host may be ahead of the device

Params = dict[str, Any]
# (params, ids, key) -> nats a token, and (params, example) -> nats [batch] of each example, whose arrays it is given.
Loss = Callable[[Params, Array, jax.Array], Array]
Score = Callable[[Params, dict[str, Array]], Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW, or Muon for the matrices of the blocks, under a linear warm-up and a cosine down to zero."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.1  # of matrices
    beta2: float = 0.98
    clip_norm: float = 1.0
    validations: int = 10  # evenly over the run, the last one at its end
    seed: int = 0

    def make_optimizer(self) -> optax.GradientTransformation:
        rate = optax.warmup_cosine_decay_schedule(
            0.0, self.learning_rate, min(self.warmup_steps, self.steps - 1), self.steps
        )

        def is_matrix(params):
            return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)

        clip = optax.clip_by_global_norm(self.clip_norm)
        if self.optimizer == "adamw":
            return optax.chain(clip, optax.adamw(rate, b2=self.beta2, weight_decay=self.weight_decay, mask=is_matrix))
        turn = muon(1.0, matrices_of_blocks, b1=0.9, b2=self.beta2)
        decay = optax.add_decayed_weights(-self.weight_decay, mask=is_matrix)  # as Muon's updates, which point downhill
        return optax.chain(clip, turn, decay, optax.scale_by_schedule(rate))

    def optimizer_flops(self, params: Params) -> int:
        """Of one update: the matrix products of Muon, where AdamW has none. `params` are arrays, or their shapes."""
        return newton_schulz_flops(params, matrices_of_blocks(params)) if self.optimizer == "muon" else 0

    def validates_at(self, step: int) -> bool:
        return step == self.steps or step * self.validations // self.steps > (step - 1) * self.validations // self.steps


def matrices_of_blocks(params: Params) -> Any:
    """What Muon turns: all kernels of the blocks, and neither the embedding nor the layer of the logits."""

    def axes(path, _):
        return MATRIX if path[0].key.startswith("block") and path[-1].key == "kernel" else None

    return jax.tree_util.tree_map_with_path(axes, params)


@flax.struct.dataclass
class State:
    step: jax.Array  # int32, updates done
    params: Params
    opt_state: optax.OptState


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """params: those of the step with the best validation figure, `step`.
    validation_curve: (step, figure).
    seconds: of training, compilation included and validation not.
    """

    params: Params
    step: int
    validation_curve: list[tuple[int, float]]
    seconds: float


def fit(
    loss: Loss,
    init: Callable[[jax.Array], Params],
    batches: Iterator[Shaped[np.ndarray, "batch tokens"]],
    recipe: Recipe,
    mesh: Mesh,
    validate: Callable[[Params], float],
    report: Callable[[str], None],
) -> Fitted:
    """Trains from `init`. The host waits for the device only to validate, and for a step long dispatched to report.

    Raises `RunError` when the loss is no longer finite.
    """
    optimizer = recipe.make_optimizer()
    whole, split = replicated(mesh), batch_sharding(mesh)

    def start(key: jax.Array) -> State:
        params = init(key)
        return State(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params))

    def train_step(state: State, ids: Array) -> tuple[State, Array]:
        key = jax.random.fold_in(jax.random.key(recipe.seed), state.step)
        value, gradient = jax.value_and_grad(loss)(state.params, ids, key)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return State(step=state.step + 1, params=params, opt_state=opt_state), value

    train_step = jax.jit(train_step, donate_argnums=0, in_shardings=(whole, split), out_shardings=whole)
    began, validating = time.monotonic(), 0.0
    state = jax.jit(start, out_shardings=whole)(jax.random.key(recipe.seed))
    best, best_step, best_params = math.inf, 0, None
    curve: list[tuple[int, float]] = []
    losses: list[Array] = []
    for step in range(1, recipe.steps + 1):
        state, value = train_step(state, jax.device_put(next(batches), split))
        losses.append(value)
        if len(losses) > _AHEAD:
            losses[-_AHEAD].block_until_ready()
        if not recipe.validates_at(step):
            continue
        nats = np.array(jax.device_get(losses))
        if not np.isfinite(nats).all():
            first = step - len(nats) + 1 + int(np.argmin(np.isfinite(nats)))
            raise RunError(f"the loss of step {first} is not finite: lower --learning-rate={recipe.learning_rate:g}")
        paused = time.monotonic()
        curve.append((step, validate(state.params)))
        if best_params is None or curve[-1][1] < best:
            best, best_step = curve[-1][1], step
            best_params = jax.tree.map(jnp.copy, state.params)  # the state's own are given away with the next step
        losses = []
        validating += time.monotonic() - paused
        passed = time.monotonic() - began
        report(
            f"step {step}/{recipe.steps}  loss {nats.mean() / np.log(2):.3f}  validation {curve[-1][1]:.3f} bits"
            f"  {step / (passed - validating):.3g} steps/s  {passed * (recipe.steps / step - 1):.0f} s left"
        )
    seconds = time.monotonic() - began - validating
    assert best_params is not None  # the last step is always validated
    return Fitted(params=best_params, step=best_step, validation_curve=curve, seconds=seconds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
    """What a score is taken of.

    arrays: of one row each; rows that follow one another, `samples` of them, are of the same window.
    counted: tokens whose nats a row's score is the sum of.
    """

    arrays: dict[str, Shaped[np.ndarray, "rows ..."]]
    counted: int
    samples: int = 1


def measure(
    score: Score, params: Params, examples: Examples, batch_size: int, mesh: Mesh
) -> Float[np.ndarray, " windows"]:
    """Bits a token of each window, the mean over its samples, float64. `score` is jitted, and sees one shape."""
    rows = len(next(iter(examples.arrays.values())))
    parts = []
    for start in range(0, rows, batch_size):
        index = np.minimum(np.arange(start, start + batch_size), rows - 1)  # beyond the last: computed and dropped
        batch = {name: array[index] for name, array in examples.arrays.items()}
        parts.append(score(params, jax.device_put(batch, batch_sharding(mesh))))
    nats = np.concatenate(jax.device_get(parts)).astype(np.float64)[:rows]
    return nats.reshape(-1, examples.samples).mean(axis=1) / examples.counted / np.log(2)


def mean_and_stderr(values: Float[np.ndarray, " windows"]) -> tuple[float, float]:
    """The error is that of independent windows; those of one book are not quite, and then it is larger."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))

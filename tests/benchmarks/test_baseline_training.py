"""Both baselines on texts whose bits are known, and what they cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.baselines.autoregressive import AUTOREGRESSIVE
from benchmarks.baselines.command import bind
from benchmarks.baselines.fit import Recipe, fit, mean_and_stderr, measure
from benchmarks.baselines.letters import cut_windows, training_batches
from benchmarks.baselines.masked_diffusion import MASKED_DIFFUSION
from benchmarks.baselines.masked_diffusion import examples as masked_examples
from benchmarks.baselines.transformer import Shape, Transformer
from pixjax.config import MeshConfig
from pixjax.errors import RunError
from pixjax.training.mesh import make_mesh

SHAPE = Shape(vocab_size=5, length=8, width=32, depth=2, heads=2, causal=True)
RECIPE = Recipe(steps=90, batch_size=64, learning_rate=1e-2, warmup_steps=10, validations=3)
BOTH = pytest.mark.parametrize("baseline", [AUTOREGRESSIVE, MASKED_DIFFUSION], ids=lambda baseline: baseline.name)


def examples(baseline, windows, samples):
    return masked_examples(windows, samples) if baseline is MASKED_DIFFUSION else baseline.validation_examples(windows)


@pytest.fixture(scope="module")
def learn():
    """(baseline, training ids, test ids) -> bits a token of the test windows and the standard error, trained."""
    mesh = make_mesh(MeshConfig())

    def learn(baseline, training, test, recipe=RECIPE):
        init, loss, score = bind(baseline, dataclasses.replace(SHAPE, causal=baseline.causal))
        score = jax.jit(score)
        test = examples(baseline, cut_windows(test, SHAPE.length, "test"), samples=8)

        def bits(params):
            return measure(score, params, test, 320, mesh)

        batches = training_batches(training, length=SHAPE.length, batch_size=recipe.batch_size, seed=0)
        fitted = fit(loss, init, batches, recipe, mesh, lambda params: bits(params).mean(), lambda line: None)
        assert [step for step, _ in fitted.validation_curve] == [recipe.steps * third // 3 for third in (1, 2, 3)]
        assert dict(fitted.validation_curve)[fitted.step] == min(value for _, value in fitted.validation_curve)
        return mean_and_stderr(bits(fitted.params))

    return learn


@pytest.mark.parametrize(
    ("baseline", "optimizer"),
    [(AUTOREGRESSIVE, "adamw"), (AUTOREGRESSIVE, "muon"), (MASKED_DIFFUSION, "adamw")],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_periodic_text_costs_its_phase(baseline, optimizer, learn):
    """Of period three: log2(3) bits for a window, wherever the first known character stands, and nothing more."""
    steps = 240 if baseline is MASKED_DIFFUSION else 90
    recipe = dataclasses.replace(RECIPE, steps=steps, optimizer=optimizer)
    bits, stderr = learn(baseline, np.arange(2000) % 3, np.arange(80 * 3 * 8) % 3, recipe)
    phase = np.log2(3) / 8
    assert phase - 3 * stderr < bits < phase + 0.03


@BOTH
def test_independent_letters_cost_their_entropy(baseline, learn):
    share = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    training, test = (np.random.default_rng(seed).choice(5, 4000, p=share) for seed in (0, 1))
    bits, stderr = learn(baseline, training, test)
    ideal = -np.log2(share[test]).mean()
    assert stderr < 0.04
    assert ideal - 3 * stderr < bits < ideal + 3 * stderr + 0.03


@BOTH
def test_an_untrained_model_is_a_fair_guess(baseline):
    """Every logit is zero: each of the windows costs log2(27) bits a character, whatever is masked."""
    init, _, score = bind(baseline, Shape(vocab_size=27, length=8, width=16, depth=1, heads=1, causal=baseline.causal))
    made = examples(baseline, np.random.default_rng(0).integers(0, 27, (6, 8)), samples=4)
    bits = measure(jax.jit(score), jax.jit(init)(jax.random.key(0)), made, 8, make_mesh(MeshConfig()))
    np.testing.assert_allclose(bits, np.full(6, np.log2(27)), rtol=1e-5)


@BOTH
def test_muon_turns_the_matrices_of_blocks_and_nothing_else(baseline):
    """A matrix moves by rate·0.2·√(larger side) times a nearly orthogonal one, less its decay, whatever its gradient;
    everything else as under AdamW with Nesterov's momentum.
    """
    init, _, _ = bind(baseline, dataclasses.replace(SHAPE, causal=baseline.causal))
    params = jax.jit(init)(jax.random.key(0))
    recipe = Recipe(steps=9, batch_size=1, learning_rate=1e-2, warmup_steps=0, optimizer="muon", weight_decay=0.5)
    optimizer = recipe.make_optimizer()
    grads = jax.tree.map(
        lambda x: 1e-3 * jax.random.normal(jax.random.key(1), x.shape), params
    )  # too small to be clipped
    updates, _ = jax.jit(optimizer.update)(grads, optimizer.init(params), params)
    turned = updates["block1"]["w3"]["kernel"] + 1e-2 * 0.5 * params["block1"]["w3"]["kernel"]
    sizes = np.linalg.svd(turned / (1e-2 * 0.2 * np.sqrt(max(turned.shape))), compute_uv=False)
    assert 0.6 < sizes.min() < sizes.max() < 1.3
    adamw = optax.nadamw(1e-2, b2=0.98, weight_decay=0.5, mask={"embed": False, "out": True, "out_norm": False})
    rest = ({name: tree[name] for name in ("embed", "out", "out_norm")} for tree in (updates, grads, params))
    updates, grads, params = rest
    expected, _ = adamw.update(grads, adamw.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), updates, expected)

    model, _, _ = bind(baseline, SHAPE)
    shapes = jax.eval_shape(model, jax.random.key(0))
    a_step = sum(4 * 32**2 * other + 2 * 32**3 for other in (96, 32, 2 * 85, 85))  # qkv, proj, w12, w3
    assert recipe.optimizer_flops(shapes) == SHAPE.depth * 5 * a_step


def test_a_loss_that_is_not_finite_ends_the_run(learn):
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30, steps=6, warmup_steps=0)
    with pytest.raises(RunError, match="is not finite: lower --learning-rate"):
        learn(AUTOREGRESSIVE, np.arange(2000) % 5, np.arange(1920) % 5, recipe)


def test_flops_are_what_the_compiler_counts_for_matrix_products():
    """XLA also counts elementwise work, a few per cent."""
    shape = Shape(vocab_size=27, length=128, width=128, depth=2, heads=2, causal=False)
    model, ids = Transformer(shape), jnp.zeros((1, 128), jnp.int32)
    params = jax.eval_shape(model.init, jax.random.key(0), ids)
    counted = jax.jit(model.apply).lower(params, ids).compile().cost_analysis()["flops"]
    assert 0.9 < shape.training_flops * 128 / 3 / counted <= 1.0


def test_an_epoch_is_once_around_the_text():
    batches = training_batches(np.arange(100), length=10, batch_size=5, seed=3)
    epochs = [np.concatenate([next(batches), next(batches)]) for _ in range(3)]
    for windows in epochs:
        np.testing.assert_array_equal(np.sort(windows.reshape(-1)), np.arange(100))
        assert (np.diff(windows, axis=1) % 100 == 1).all()
    assert len({windows[:, 0].min() for windows in epochs}) > 1  # its borders fall elsewhere in the next
    again = training_batches(np.arange(100), length=10, batch_size=5, seed=3)
    np.testing.assert_array_equal(next(again), epochs[0][:5])

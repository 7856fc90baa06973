"""The learning rate over a run, what is decayed, and the averages."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pixjax.config import TrainingConfig
from pixjax.models.flops import training_flops
from pixjax.training.computation import flops_per_canvas, update_flops
from pixjax.training.optimizer import learning_rate_schedule, make_optimizer, optimizer_flops, update_ema
from pixjax.training.state import init_params, make_model


def test_warm_up_then_constant_or_cosine():
    constant = learning_rate_schedule(TrainingConfig(learning_rate=1.0, warmup_steps=10, steps=110))
    cosine = learning_rate_schedule(TrainingConfig(learning_rate=1.0, warmup_steps=10, steps=110, decay="cosine"))
    assert [float(constant(s)) for s in (0, 5, 10, 110)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert [float(cosine(s)) for s in (0, 5, 10, 60, 110)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0], abs=1e-6)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_only_kernels_are_decayed(name):
    params = {"dense": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "norm": {"scale": jnp.ones(2)}}
    optimizer = make_optimizer(TrainingConfig(weight_decay=0.05, optimizer=name))
    updates, _ = optimizer.update(jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params)
    new = optax.apply_updates(params, updates)
    np.testing.assert_allclose(new["dense"]["kernel"], 0.95)
    np.testing.assert_array_equal(new["dense"]["bias"], 1.0)
    np.testing.assert_array_equal(new["norm"]["scale"], 1.0)


def test_gradients_are_clipped_over_all_parameters_together():
    """Adam forgets the scale of a constant gradient, so the ratio of two steps shows the clipping."""
    params = {"kernel": jnp.zeros(1)}
    optimizer = make_optimizer(TrainingConfig(clip_norm=1.0))
    state = optimizer.init(params)
    _, state = optimizer.update({"kernel": jnp.array([100.0])}, state, params)
    moments = [leaf for leaf in jax.tree.leaves(state) if getattr(leaf, "shape", None) == (1,)]
    np.testing.assert_allclose(moments[0], 0.1 * 1.0, rtol=1e-5)  # (1 - beta1) times the clipped gradient


def test_the_average_warms_up_and_then_decays_as_told():
    early = update_ema({"w": 0.0}, {"w": 1.0}, jnp.array(0), 0.99)["w"]
    late = update_ema({"w": 0.0}, {"w": 1.0}, jnp.array(100_000), 0.99)["w"]
    assert float(early) == pytest.approx(0.9)
    assert float(late) == pytest.approx(0.01, rel=1e-4)


def test_muon_turns_the_matrices_of_blocks_and_nothing_else():
    """Each matrix moves by 0.2·sqrt(larger side) times a nearly orthogonal one (arXiv 2502.16982), whatever the
    gradient's singular values; everything else as under AdamW with Nesterov's momentum.
    """
    keys = jax.random.split(jax.random.key(0), 4)
    scales = jnp.logspace(0, 1.5, 4)  # of the rows: far from orthogonal
    grads = {
        "blocks": {
            "mlp": {"kernel": scales[None, :, None] * jax.random.normal(keys[0], (2, 4, 8)), "bias": jnp.ones((2, 8))}
        },
        "modulation": {"kernel": jax.random.normal(keys[1], (2, 4, 8))},
        "out": {"kernel": jax.random.normal(keys[2], (4, 3))},
    }
    params = jax.tree.map(jnp.zeros_like, grads)
    config = TrainingConfig(optimizer="muon", clip_norm=0.0)
    muon, nadamw = make_optimizer(config), optax.nadamw(1.0, b1=config.beta1, b2=config.beta2, weight_decay=0.0)
    updates, others = (
        jax.jit(lambda params, o=optimizer: o.update(grads, o.init(params), params)[0])(params)
        for optimizer in (muon, nadamw)
    )
    for matrix in updates["blocks"]["mlp"]["kernel"]:
        singular = np.linalg.svd(matrix, compute_uv=False) / (0.2 * 8**0.5)
        assert 0.6 < singular.min() <= singular.max() < 1.3
    del updates["blocks"]["mlp"]["kernel"], others["blocks"]["mlp"]["kernel"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, others)


@pytest.mark.parametrize("matrices", ["blocks", "hidden"])
def test_which_matrices_follow_muon(tiny_config, matrices):
    """Those that move otherwise than under AdamW with Nesterov's momentum."""
    text = {"codebook_head": True, "codebook_input": True, "cell_layers": 1, "cell_width": 8, "tagging": "condition"}
    config = tiny_config(model=text, codec={"marker": False}, training={"optimizer": "muon", "muon_matrices": matrices})
    like = jax.eval_shape(lambda: init_params(make_model(config), jax.random.key(0)))
    muon = make_optimizer(dataclasses.replace(config.training, clip_norm=0.0))
    nadamw = optax.nadamw(1.0, b1=config.training.beta1, b2=config.training.beta2, weight_decay=0.0)

    @jax.jit
    def moves():
        params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        grads = optax.tree.random_like(jax.random.key(0), params, jax.random.normal)
        return [optimizer.update(grads, optimizer.init(params), params)[0] for optimizer in (muon, nadamw)]

    alike = jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-4), *moves())
    found = {path[0].key for path, is_alike in jax.tree_util.tree_leaves_with_path(alike) if not is_alike}
    hidden = {"cells_below_0", "cells_above_0", "embed_ids", "out_ids", "embed_out"}
    assert found == {"blocks"} | (hidden if matrices == "hidden" else set())


def test_the_optimizers_products_are_those_that_the_compiler_counts():
    """Newton-Schulz of matrices that are wide, tall and stacked; the compiler also counts what is done by element."""
    shapes = {"a": {"kernel": (2, 64, 192)}, "b": {"kernel": (2, 170, 64)}, "modulation": {"kernel": (2, 64, 384)}}
    params = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s, jnp.float32), shapes, is_leaf=lambda s: type(s) is tuple)
    config = TrainingConfig(optimizer="muon")
    optimizer = make_optimizer(config)
    state = jax.eval_shape(optimizer.init, params)
    counted = jax.jit(optimizer.update).lower(params, state, params).compile().cost_analysis()["flops"]
    assert 0.93 < optimizer_flops(config, params) / counted <= 1.0
    assert optimizer_flops(TrainingConfig(optimizer="adamw"), params) == 0


def test_an_update_computes_the_optimizer_once_whatever_the_batch(tiny_config):
    small, large = (tiny_config(training={"optimizer": "muon"}, data={"batch_size": size}) for size in (8, 16))
    model = make_model(small)
    a_canvas = training_flops(model.config, small.training.self_condition, model.palette)
    params = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    once = optimizer_flops(small.training, params)
    assert once > 0
    assert update_flops(small, model) == 8 * a_canvas + once
    assert update_flops(large, model) == 16 * a_canvas + once
    assert flops_per_canvas(large, model) == a_canvas + once / 16

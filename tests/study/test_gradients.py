"""The cosine between the gradients of two modalities, of losses and models whose answer is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from filled import filled
from untrained import untrained

from pixjax.codec import IMAGE, TEXT
from pixjax.data.batch_plan import make_plan
from pixjax.study.gradients import by_layer, layer_cosines, modality_gradients
from pixjax.training.state import start_state
from pixjax.training.step import make_train_step


def test_equal_losses_have_a_cosine_of_one_and_a_loss_and_its_negative_of_minus_one():
    params = {"first": {"kernel": jnp.ones((3, 2))}, "second": {"bias": jnp.ones(2)}, "other": {"bias": jnp.ones(2)}}

    def loss(params):
        return jnp.sum(jnp.tanh(params["first"]["kernel"]) @ jnp.array([1.0, 2.0])) + jnp.sum(
            params["second"]["bias"] ** 2
        )

    def crosswise(params):  # of the second layer alone, at a right angle there
        return params["second"]["bias"][0] - params["second"]["bias"][1]

    gradient = jax.grad(loss)(params)
    assert layer_cosines(gradient, gradient) == pytest.approx({"first": 1.0, "second": 1.0})
    opposite = jax.grad(lambda params: -3 * loss(params))(params)
    assert layer_cosines(gradient, opposite) == pytest.approx({"first": -1.0, "second": -1.0})
    assert layer_cosines(gradient, jax.grad(crosswise)(params)) == pytest.approx({"second": 0.0}, abs=1e-6)


def test_the_gradients_of_the_modalities_add_up_to_the_one_that_training_takes(tiny_config):
    config = tiny_config(model={"tagging": "condition"}, codec={"marker": False}, training={"ema_decays": [0.9]})
    denoiser = untrained(config)
    # The last layer starts at zero, behind which no gradient is.
    params = jax.tree.map(np.add, denoiser.params, filled(denoiser.params, 0.02))
    (found,) = modality_gradients(dataclasses.replace(denoiser, params=params), 1)
    assert all(max(np.abs(leaf).max() for leaf in jax.tree.leaves(found[m])) > 1e-4 for m in (TEXT, IMAGE))

    def keep(gradient, state, params=None):
        return jax.tree.map(jnp.zeros_like, gradient), gradient

    keeper = optax.GradientTransformation(lambda tree: tree, keep)
    step = make_train_step(config, denoiser.codec, denoiser.model, keeper)
    batch = make_plan(config, denoiser.codec)[0]
    del batch["bad"]
    state, _ = jax.jit(step)(start_state(config, params, keeper), batch)
    for part, whole in zip(
        jax.tree.leaves(jax.tree.map(np.add, found[TEXT], found[IMAGE])), jax.tree.leaves(state.opt_state), strict=True
    ):
        np.testing.assert_allclose(part, whole, rtol=1e-3, atol=1e-5)
    cosines = layer_cosines(by_layer(found[TEXT]), by_layer(found[IMAGE]))
    assert {"block 0", "block 1", "embed_in"} <= set(cosines)
    assert cosines["block 0"] != cosines["block 1"]
    assert all(-1 <= cosine <= 0.999 for cosine in cosines.values())

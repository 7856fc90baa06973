"""Text letter by letter, what was made of the letters before kept: the same numbers as without."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_orders import SIZE, codec, model_of, predict, random_params

from pixjax.codec import to_float
from pixjax.diffusion import DecisionOrder
from pixjax.models import Context
from pixjax.models import Written as Clean
from pixjax.models.writing import Draw, _draw, write

jitted = jax.jit(write, static_argnums=(0, 2))


def keys(num):
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(num))


@pytest.mark.parametrize("marker", [False, True])
@pytest.mark.parametrize("with_context", [False, True])
def test_what_is_kept_changes_nothing(marker, with_context):
    order = DecisionOrder(1, codec(marker), (1, 4))
    model = model_of(order)
    params, random = random_params(model), np.random.default_rng(0)
    ids = random.integers(0, 27, (2, order.codec.capacity))
    context = None
    if with_context:
        pages = jnp.asarray(random.uniform(-1, 1, (2, 1, SIZE, SIZE, 3)), jnp.float32)
        context = Context(pages, jnp.array([[True], [False]]), jnp.array([[0], [1]]))
    found = jitted(model, params, order, keys(2), jnp.asarray(ids), jnp.ones(ids.shape, bool), context=context)
    clean = Clean(to_float(jnp.asarray(order.codec.encode_ids(ids))))
    expected = predict(model, params, clean.clean, jnp.zeros(2), written=clean, order=order, context=context).log_probs
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(
        found.log_probs, np.take_along_axis(np.asarray(expected), ids[..., None], -1)[..., 0], rtol=1e-4, atol=1e-4
    )


def test_what_is_drawn_is_heard_and_given_cells_stay():
    order = DecisionOrder(1, codec(), (1, 4))
    model = model_of(order)
    params = random_params(model)
    given = jnp.tile(jnp.arange(order.codec.capacity) % 27, (3, 1))
    is_given = jnp.arange(order.codec.capacity)[None] < jnp.array([[0], [10], [10]])
    found = jitted(model, params, order, keys(3).at[2].set(keys(3)[1]), given, is_given)
    np.testing.assert_array_equal(found.ids[1, :10], np.arange(10))
    np.testing.assert_array_equal(found.ids[1], found.ids[2])  # the same key, the same text
    again = jitted(model, params, order, keys(3), found.ids, jnp.ones(given.shape, bool))
    np.testing.assert_allclose(again.log_probs, found.log_probs, atol=1e-5)
    assert len(set(np.asarray(found.ids[0]).tolist())) > 3


def test_ids_are_drawn_as_often_as_the_network_says():
    probs = jnp.array([0.5, 0.3, 0.15, 0.05])
    many = jax.random.split(jax.random.key(1), 4000)

    def share(**how):
        drawn = jax.vmap(lambda key: _draw(jnp.log(probs), key, draw=Draw(**how)))(many)
        return np.bincount(drawn, minlength=4) / len(many)

    np.testing.assert_allclose(share(), probs, atol=0.03)
    np.testing.assert_allclose(share(top_p=0.7), [0.625, 0.375, 0, 0], atol=0.03)
    np.testing.assert_allclose(share(top_p=1e-6), [1, 0, 0, 0])
    np.testing.assert_allclose(share(temperature=0.0), [1, 0, 0, 0])
    squared = np.square(probs) / np.square(probs).sum()
    np.testing.assert_allclose(share(temperature=0.5), squared, atol=0.03)


def test_layers_over_cells_may_be_none():
    order = DecisionOrder(1, codec(), (1, 4))
    model = model_of(order, cell_layers=0)
    params, ids = random_params(model), np.random.default_rng(0).integers(0, 27, (2, order.codec.capacity))
    found = jitted(model, params, order, keys(2), jnp.asarray(ids), jnp.ones(ids.shape, bool))
    clean = Clean(to_float(jnp.asarray(order.codec.encode_ids(ids))))
    expected = predict(model, params, clean.clean, jnp.zeros(2), written=clean, order=order).log_probs
    np.testing.assert_allclose(
        found.log_probs, np.take_along_axis(np.asarray(expected), ids[..., None], -1)[..., 0], rtol=1e-4, atol=1e-4
    )
    assert dataclasses.replace(model.config, cell_layers=0) == model.config

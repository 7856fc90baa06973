"""What is placed before any array exists is what training then makes."""

import jax
import pytest

from pixjax.codec import CanvasCodec
from pixjax.config import MeshConfig
from pixjax.data import make_batches
from pixjax.errors import InputError
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import canvases_per_device, place_batch, place_state
from pixjax.training.state import init_state, make_model


@pytest.mark.parametrize("pages", [0, 2])
def test_the_fields_of_a_batch_are_those_that_the_loader_makes(tiny_config, pages):
    config = tiny_config(model={"context_canvases": pages}, data={"context_pages": pages})
    placed = place_batch(config, make_mesh(MeshConfig()))
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        batch = next(batches)
    assert {name: (x.shape, x.dtype) for name, x in placed.items()} == {
        name: (batch[name].shape, batch[name].dtype) for name in batch if name != "skipped"
    }


def test_the_state_is_the_one_that_a_run_starts_with(tiny_config):
    config = tiny_config()
    model, optimizer = make_model(config), make_optimizer(config.training)
    placed = place_state(config, model, optimizer, make_mesh(MeshConfig()))
    made = jax.eval_shape(lambda: init_state(config, model, optimizer))
    assert jax.tree.structure(placed) == jax.tree.structure(made)
    assert all(x.shape == y.shape for x, y in zip(jax.tree.leaves(placed), jax.tree.leaves(made), strict=True))
    assert {x.sharding.mesh.size for x in jax.tree.leaves(placed)} == {1}


def test_a_batch_divides_over_devices_and_parts(tiny_config):
    config = tiny_config(data={"batch_size": 24}, training={"accumulate": 3})
    assert canvases_per_device(config, 4) == 6
    with pytest.raises(InputError, match="choose a multiple of 48"):
        canvases_per_device(config, 16)

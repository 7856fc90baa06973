"""Which axis of which parameter is split, on meshes of any shape (shapes alone: no device is needed)."""

import re
import types

import jax
import pytest
from jax.sharding import PartitionSpec as P

from pixjax.config import MeshConfig
from pixjax.config_file import load_config
from pixjax.errors import InputError
from pixjax.training.mesh import LOGICAL_AXES, make_mesh, mesh_shape, partition
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model

MESH = types.SimpleNamespace(shape={"data": 2, "fsdp": 4, "tensor": 2})


def test_fused_matrices_are_split_along_their_input_and_others_along_width_and_heads():
    assert partition(MESH, "params/blocks/attention/qkv/kernel", (12, 384, 1152)) == P(None, ("fsdp", "tensor"), None)
    assert partition(MESH, "params/blocks/attention/proj/kernel", (12, 384, 384)) == P(None, "tensor", "fsdp")
    assert partition(MESH, "ema/0.9999/blocks_before/mlp/w3/kernel", (4, 1024, 384)) == P(None, "tensor", "fsdp")
    assert partition(MESH, "params/blocks/norm1/scale", (12, 384)) == P()


def test_an_axis_that_does_not_divide_stays_whole():
    assert partition(MESH, "params/blocks/mlp/w12/kernel", (12, 6, 1024)) == P(None, None, None)
    assert partition(MESH, "params/blocks/mlp/w3/kernel", (12, 1024, 6)) == P(None, "tensor", None)


@pytest.mark.parametrize("name", ["mixed64_marker", "text8_best"])
def test_every_rule_names_a_parameter_and_nearly_all_bytes_are_split(name):
    config = load_config(name)
    state = jax.eval_shape(lambda: init_state(config, make_model(config), make_optimizer(config.training)))
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    names = {"/".join(key.key for key in path): leaf for path, leaf in leaves}
    for pattern, _ in LOGICAL_AXES:
        if "cells" in pattern and not config.model.cell_layers:
            continue
        assert any(partition(MESH, n, x.shape) != P() for n, x in names.items() if re.search(pattern, n))
    split = sum(x.size for n, x in names.items() if partition(MESH, n, x.shape) != P())
    assert split > 0.98 * sum(x.size for x in names.values())


@pytest.mark.parametrize("axes", [{"data": 2}, {"data": -1, "fsdp": -1}, {"tensor": 0}, {"fsdp": 3}])
def test_a_mesh_that_does_not_fit_the_devices_is_refused(axes):
    with pytest.raises(InputError, match=r"training\.mesh"):
        make_mesh(MeshConfig(**axes))


@pytest.mark.parametrize(
    ("axes", "devices", "shape"),
    [({}, 8, (8, 1, 1)), ({"fsdp": 4}, 32, (8, 4, 1)), ({"data": 2, "fsdp": -1, "tensor": 2}, 16, (2, 4, 2))],
)
def test_an_axis_that_is_left_open_takes_the_devices_that_are_left(axes, devices, shape):
    assert mesh_shape(MeshConfig(**axes), devices) == shape

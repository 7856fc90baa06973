"""Which axis of which parameter is split, on meshes of any shape (shapes alone: no device is needed)."""

import functools

import jax
import pytest
from etils import epath
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P
from shipped_configs import SHIPPED

from pixjax.config import MeshConfig
from pixjax.config_file import load_config
from pixjax.errors import InputError
from pixjax.models import JiT
from pixjax.study.study import read_study
from pixjax.training.mesh import kernel_axes, make_mesh, mesh_shape, partition, state_shardings
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_params, init_state, make_model


def mesh_of(data: int, fsdp: int, tensor: int) -> AbstractMesh:
    return AbstractMesh((data, fsdp, tensor), ("data", "fsdp", "tensor"))


def by_path(tree) -> dict:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(getattr(key, "key", getattr(key, "name", ""))) for key in path): leaf for path, leaf in leaves}


def models_of(name: str) -> set[JiT]:
    """What a config trains; of a study, what its arms do."""
    if not name.startswith("study_"):
        return {make_model(load_config(name))}
    study = read_study(name)
    return {make_model(study.config(arm, 0, epath.Path("."))) for arm in study.arms}


@functools.cache
def shapes_of(model: JiT):
    return jax.eval_shape(lambda: init_params(model, jax.random.key(0)))


def whole_on(mesh: AbstractMesh, model: JiT) -> set[str]:
    """The parameters of which every device has all."""
    shapes, shardings = by_path(shapes_of(model)), by_path(state_shardings(mesh, model, shapes_of(model)))
    return {path for path, x in shapes.items() if shardings[path].shard_shape(x.shape) == x.shape}


def test_fused_matrices_are_split_along_their_input_and_others_along_width_and_heads():
    assert partition(mesh_of(2, 4, 2), ("fused", None), (12, 384, 1152)) == P(None, ("fsdp", "tensor"), None)
    assert partition(mesh_of(2, 4, 2), ("heads", "embed"), (12, 384, 384)) == P(None, "tensor", "fsdp")
    assert partition(mesh_of(2, 4, 2), (None, "embed"), (48, 96)) == P(None, "fsdp")


def test_an_axis_that_does_not_divide_stays_whole():
    assert partition(mesh_of(2, 4, 2), ("fused", None), (12, 6, 1024)) == P(None, None, None)
    assert partition(mesh_of(2, 4, 2), ("mlp", "embed"), (12, 1024, 6)) == P(None, "tensor", None)


def test_moments_and_averages_are_split_as_their_parameters_are():
    config = load_config("letters27_best")
    model, optimizer = make_model(config), make_optimizer(config.training)
    state = jax.eval_shape(lambda: init_state(config, model, optimizer))
    found = {path: sharding.spec for path, sharding in by_path(state_shardings(mesh_of(2, 4, 2), model, state)).items()}
    wanted = {
        "blocks/attention/qkv": P(None, ("fsdp", "tensor"), None),
        "blocks/attention/proj": P(None, "tensor", "fsdp"),
        "blocks/mlp/w12": P(None, ("fsdp", "tensor"), None),
        "blocks/mlp/w3": P(None, "tensor", "fsdp"),
        "blocks/modulation": P(None, "fsdp", "tensor"),
        "out_modulation": P("fsdp", None),
        "time_in": P(None, "fsdp"),
        "cells_below_0/mix": P(None, "fsdp"),
        "cells_above_0/out": P(None, "fsdp"),
        "cells_in": P(),
    }
    for layer, spec in wanted.items():
        same = [path for path in found if path.endswith(f"/{layer}/kernel")]
        assert len(same) >= 3, layer  # the parameter, a moment, an average
        assert {found[path] for path in same} == {spec}, layer


@pytest.mark.parametrize("name", SHIPPED)
def test_every_kernel_of_every_shipped_config_states_its_axes_and_is_split(name):
    """Unless it states that it stays whole, and is small. What is no kernel is a bias, a norm or an embedding."""
    for model in models_of(name):
        shapes, stated = by_path(shapes_of(model)), kernel_axes(model)
        assert stated.keys() == {path for path in shapes if path.endswith("/kernel")}
        others = shapes.keys() - stated.keys()
        assert all("/" not in path or path.endswith(("/bias", "/scale")) for path in others)
        whole, on_eight = (whole_on(mesh, model) for mesh in (mesh_of(2, 2, 2), mesh_of(1, 8, 1)))
        assert whole == others | {path for path, axes in stated.items() if not any(axes)}
        # Eight devices do not divide every width, and each kernel that is left whole for it is as small.
        small = 0.01 * sum(x.size for x in shapes.values())
        assert all(shapes[path].size < small for path in on_eight - others)


@pytest.mark.parametrize("name", ["mixed64_marker", "text8_best"])
def test_nearly_all_bytes_are_split(name):
    model = make_model(load_config(name))
    sizes = {path: x.size for path, x in by_path(shapes_of(model)).items()}
    assert sum(sizes[path] for path in whole_on(mesh_of(2, 4, 2), model)) < 0.02 * sum(sizes.values())


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

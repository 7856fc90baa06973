"""The annotations are checked in the process of every test, and a missing axis is an error: see annotation_check.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pixjax.data.keys import permute
from pixjax.diffusion.path import noisy
from pixjax.diffusion.sampler import State
from pixjax.models.patches import patchify

ONE = jnp.zeros((2, 4, 4, 3))


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: noisy(ONE.astype(int), ONE, jnp.zeros(2)), id="a type"),
        pytest.param(lambda: noisy(ONE, ONE[:1], jnp.zeros(2)), id="a size that differs"),
        pytest.param(lambda: patchify(ONE[0], (2, 2)), id="an axis too few"),
        pytest.param(lambda: permute(np.arange(3), "3", np.uint64(0)), id="a plain type"),
    ],
)
def test_what_is_not_as_annotated_is_an_error(call):
    with pytest.raises(TypeCheckError):
        call()


def test_pytrees_may_hold_what_tree_operations_make():
    state = State.start(ONE)
    shapes = jax.tree.map(lambda leaf: leaf.shape, state)
    assert shapes.z == ONE.shape


def test_a_missing_axis_is_not_added():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.zeros((2, 3)) + jnp.zeros(3)

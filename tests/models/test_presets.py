"""The sizes: the table in the documentation, from shapes alone."""

import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.models import VARIANTS, JiT, architecture
from pixjax.models.flops import forward_flops

TABLE = (pathlib.Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\w+)/(\d+) \| (\d+) \|.*\| ([\d.]+) M \| ([\d.]+) \|$", TABLE, re.MULTILINE)


def test_the_table_has_every_variant():
    assert {row[0] for row in ROWS} == set(VARIANTS)


@pytest.mark.parametrize(("variant", "patch", "size", "parameters", "gflops"), ROWS)
def test_parameters_and_flops_are_what_the_table_says(variant, patch, size, parameters, gflops):
    config = ModelConfig(variant=variant, canvas_size=int(size), patch_size=patch, tagging="condition")
    arch, side = architecture(config), int(size)
    model = JiT(arch)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), jnp.zeros(1)))
    assert sum(x.size for x in jax.tree.leaves(shapes)) / 1e6 == pytest.approx(float(parameters), abs=0.06)
    assert forward_flops(arch) / 1e9 == pytest.approx(float(gflops), abs=0.006)


def test_a_shallower_variant_keeps_the_place_of_its_in_context_tokens_in_proportion():
    assert architecture(ModelConfig(variant="B")).in_context_start == 4
    assert architecture(ModelConfig(variant="B", depth=6)).in_context_start == 2
    assert architecture(ModelConfig(variant="B", depth=6, in_context_start=5)).in_context_start == 5
    with pytest.raises(InputError, match="in_context_start=6 is not one of the 6 blocks"):
        architecture(ModelConfig(variant="B", depth=6, in_context_start=6))

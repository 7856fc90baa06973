"""The sizes: the table in the documentation, from shapes alone."""

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import pytest

from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.models import VARIANTS, JiT
from pixjax.models.blocks import Block
from pixjax.models.flops import forward_flops
from pixjax.models.presets import resolve

TABLE = (pathlib.Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\w+)/(\d+) \| (\d+) \|.*\| ([\d.]+) M \| ([\d.]+) \|$", TABLE, re.MULTILINE)


def test_the_table_has_every_variant():
    assert {row[0] for row in ROWS} == set(VARIANTS)


@pytest.mark.parametrize(("variant", "patch", "size", "parameters", "gflops"), ROWS)
def test_parameters_and_flops_are_what_the_table_says(variant, patch, size, parameters, gflops):
    config = ModelConfig(variant=variant, canvas_size=int(size), patch_size=patch, tagging="condition")
    model, side = JiT(config), int(size)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), jnp.zeros(1)))
    assert sum(x.size for x in jax.tree.leaves(shapes)) / 1e6 == pytest.approx(float(parameters), abs=0.06)
    assert forward_flops(config) / 1e9 == pytest.approx(float(gflops), abs=0.006)


def test_a_model_resolves_its_config_once_and_for_all():
    config = ModelConfig(variant="B", depth=6, tagging="none")
    resolved = resolve(config)
    changed = {f.name for f in dataclasses.fields(config) if getattr(resolved, f.name) != getattr(config, f.name)}
    assert changed == {"width", "heads", "bottleneck", "in_context_tokens", "in_context_start", "dtype"}
    assert (resolved.width, resolved.head_width, resolved.grid, resolved.depth) == (768, 64, (16, 16), 6)
    assert resolve(resolved) == resolved == JiT(config).config == JiT(resolved).config
    assert forward_flops(config) == forward_flops(resolved) > 0


@pytest.mark.parametrize("missing", [{"heads": 0}, {"width": 0}, {"dtype": "auto"}])
def test_a_block_makes_nothing_of_a_config_that_is_not_resolved(missing):
    config = resolve(ModelConfig(variant="Ti", tagging="none", dtype="float32"))
    x, angles = jnp.zeros((1, 4, config.width)), jnp.zeros((4, config.head_width // 2))
    rest = (jnp.zeros((), bool), x[:, :1], angles, None, None, jnp.zeros((1, 4), bool))

    def make(config: ModelConfig):
        return jax.eval_shape(lambda: Block(config, True, (4,)).init(jax.random.key(0), x, *rest))

    assert make(config)["params"]["attention"]["qkv"]["kernel"].shape == (192, 3 * 192)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        make(dataclasses.replace(config, **missing))


def test_a_shallower_variant_keeps_the_place_of_its_in_context_tokens_in_proportion():
    assert resolve(ModelConfig(variant="B")).in_context_start == 4
    assert resolve(ModelConfig(variant="B", depth=6)).in_context_start == 2
    assert resolve(ModelConfig(variant="B", depth=6, in_context_start=5)).in_context_start == 5
    with pytest.raises(InputError, match="in_context_start=6 is not one of the 6 blocks"):
        resolve(ModelConfig(variant="B", depth=6, in_context_start=6))

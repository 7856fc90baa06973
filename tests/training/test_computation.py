"""The analytic count of an update against the products of the step itself, at the sizes that ship."""

import math
from collections.abc import Iterator

import jax
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

from pixjax.codec import CanvasCodec
from pixjax.config_file import load_config
from pixjax.training.computation import update_flops
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import place_batch, place_state
from pixjax.training.state import make_model
from pixjax.training.step import make_train_step


def product_flops(jaxpr: Jaxpr) -> int:
    """Of the matrix products that are computed, those in a scan as often as it goes round."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
        inner = list(map(product_flops, inner_jaxprs(equation.params)))
        assert equation.primitive.name != "while" or not any(inner), "how often it goes round is not known"
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += times * (max(inner) if equation.primitive.name == "cond" else sum(inner))
    return total


def inner_jaxprs(params: dict) -> Iterator[Jaxpr]:
    for value in params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, (Jaxpr, ClosedJaxpr)):
                yield part.jaxpr if isinstance(part, ClosedJaxpr) else part


@pytest.mark.parametrize(
    ("name", "changes"),
    [("mixed64_marker", {"model.variant": "B", "model.scan_layers": True}), ("text8_best", {}), ("mixed_best", {})],
)
def test_the_analytic_count_is_that_of_the_products_of_a_step(name, changes):
    """What the count leaves out, gradients of the mean colour among them, is less than half a per cent."""
    config = load_config(name, changes | {"model.dtype": "bfloat16", "model.attention": "xla"})
    codec, mesh, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_mesh(config.training.mesh),
        make_optimizer(config.training),
    )
    model = make_model(config, codec)
    step = make_train_step(config, codec, model, optimizer)
    traced = jax.make_jaxpr(step)(place_state(config, model, optimizer, mesh), place_batch(config, mesh))
    assert 0.995 < update_flops(config, model) / product_flops(traced.jaxpr) <= 1.0

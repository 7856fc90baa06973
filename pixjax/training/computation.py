"""What an update computes: the denoiser's part, which grows with the batch, and the optimizer's, which does not."""

import jax

from pixjax.config import Config
from pixjax.diffusion import DecisionOrder
from pixjax.models import JiT
from pixjax.models.flops import training_flops
from pixjax.training.optimizer import optimizer_flops
from pixjax.training.rows import rows_by_order
from pixjax.training.state import init_params


def update_flops(config: Config, model: JiT) -> float:
    """Floating-point operations of the matrix products of one update, counted as two a multiply-add.

    Once each, on however many devices: replicas of a model that orthogonalise the same matrices do no more by it.
    """
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    rows: dict[DecisionOrder | None, int] = {None: config.data.batch_size}
    if model.orders:
        by_order = rows_by_order(config)
        orders = {str(order.block): order for order in model.orders}
        rows = {orders.get(name): by_order.groups * len(of) for name, of in by_order.of.items()}
    total = sum(
        number * training_flops(model.arch, config.training.self_condition, model.codebook, order)
        for order, number in rows.items()
    )
    return total + optimizer_flops(config.training, shapes)


def flops_per_canvas(config: Config, model: JiT) -> float:
    """Of training, the optimizer's spread over the canvases of a batch."""
    return update_flops(config, model) / config.data.batch_size

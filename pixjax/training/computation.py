"""The FLOPs of an update: the denoiser's part, which grows with the batch, and the optimizer's, which does not."""

import jax

from pixjax.config import Config
from pixjax.models import JiT
from pixjax.models.flops import training_flops
from pixjax.training.optimizer import optimizer_flops
from pixjax.training.rows import rows_by_order
from pixjax.training.state import init_params


def update_flops(config: Config, model: JiT, shards: int = 1) -> float:
    """Floating-point operations of the matrix products of one update, counted as two a multiply-add.

    Once each, on however many devices: replicas of a model that orthogonalise the same matrices do no more by it.

    Args:
      shards: devices that a batch is split over, on which it depends whether images go through the layers for text.
    """
    shapes = jax.eval_shape(lambda: init_params(model, jax.random.key(0)))
    rows, orders = rows_by_order(config), {str(order.block): order for order in model.orders}
    text_rows, twice = rows.text_rows(shards), config.training.self_condition
    total = float(optimizer_flops(config.training, shapes))
    for name, of in rows.of.items():
        number, order = rows.groups * len(of), orders.get(name)
        text = number if order else number // text_rows.period * len(text_rows.places)
        total += text * training_flops(model.config, twice, model.palette, order)
        total += (number - text) * training_flops(model.config, twice)
    return total


def flops_per_canvas(config: Config, model: JiT, shards: int = 1) -> float:
    """Of training, the optimizer's spread over the canvases of a batch."""
    return update_flops(config, model, shards) / config.data.batch_size

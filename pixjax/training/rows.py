"""Which canvases of a batch are decided in which order: the same ones in every batch, and as many on every device."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Int

from pixjax.codec import TEXT
from pixjax.config import Config
from pixjax.data import modality_schedule
from pixjax.data.mixture import Mixture
from pixjax.diffusion.decision_order import WHOLE
from pixjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A batch is `groups` runs of canvases that are alike; `of` has the rows of a run by order, none of them empty."""

    groups: int
    of: dict[str, Int[np.ndarray, " rows"]]

    def take(self, name: str, batch):
        """The canvases of one order, of arrays whose first axis is the batch. Devices keep those that they hold."""
        return jax.tree.map(
            lambda x: x.reshape(self.groups, -1, *x.shape[1:])[:, self.of[name]].reshape(-1, *x.shape[1:]), batch
        )


def rows_by_order(config: Config) -> Rows:
    """Text by the shares of `diffusion.blocks.text`; `whole` has the images as well.

    The shares are exact in every group where the batch can be parted so, and else as near as whole canvases may be.

    Raises:
      InputError: a batch in which the number of text canvases changes, or too small for the orders or for
        `training.accumulate`.
    """
    size, shares = config.data.batch_size, config.diffusion.blocks.shares
    schedule = modality_schedule(config)
    is_mixed = len(set(schedule.tolist())) > 1
    if is_mixed and size % len(schedule):
        raise InputError(
            f"data.batch_size={size} is no multiple of the {len(schedule)} canvases after which data.sources repeat: "
            f"choose one, as diffusion.blocks.text={config.diffusion.blocks.text!r} parts batches alike"
        )
    share = np.mean(schedule == TEXT)

    def fits(group: int) -> bool:
        counts = np.array([*(group * share * s for s in shares.values()), group]) / config.training.accumulate
        even = (np.abs(counts - np.round(counts)) < 1e-6).all()
        return bool(size % group == 0 and even and not (is_mixed and group % len(schedule)))

    group = next(filter(fits, range(1, size)), size)
    is_text = np.resize(schedule, group) == TEXT
    text = np.flatnonzero(is_text)
    counts = _nearest(len(text), shares, config.training.accumulate)
    names = list(shares)
    if not counts.all():
        raise InputError(
            f"data.batch_size={size} has {len(text)} text canvases, too few for diffusion.blocks.text="
            f"{config.diffusion.blocks.text!r} with training.accumulate={config.training.accumulate}: take more"
        )
    spread = Mixture.from_weights(tuple(counts)).schedule  # each order is spread over the text of a group
    spread = np.resize(spread, len(text))
    of = {name: text[spread == number] for number, name in enumerate(names)}
    rest = np.sort(np.concatenate([of.pop(WHOLE, np.zeros(0, int)), np.flatnonzero(~is_text)]))
    return Rows(groups=size // group, of=of | ({WHOLE: rest} if len(rest) else {}))


def _nearest(total: int, shares: dict[str, float], parts: int) -> Int[np.ndarray, " orders"]:
    """Whole multiples of `parts` that add up to the total, by the largest remainders."""
    exact = np.array(list(shares.values())) * total / parts
    counts = np.floor(exact + 1e-9)
    for number in np.argsort(counts - exact, kind="stable")[: round(total / parts - counts.sum())]:
        counts[number] += 1
    return counts.astype(int) * parts

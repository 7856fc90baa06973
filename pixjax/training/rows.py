"""The rows of a batch by decision order and modality: the same in every batch, and as many on every device."""

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
from pixjax.models.text_rows import ANY_ROW, TextRows


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """A batch is `groups` runs of canvases that are alike; `of` has the rows of a run by order, none of them empty.

    `may_be_text` is said of what `take(WHOLE)` gives to each part of `training.accumulate`.
    """

    groups: int
    of: dict[str, Int[np.ndarray, " rows"]]
    may_be_text: TextRows = ANY_ROW

    def take(self, name: str, batch):
        """The canvases of one order, of arrays whose first axis is the batch. Devices keep those that they hold."""
        rows = self.of[name]

        def of_groups(x):
            x = x.reshape(self.groups, -1, *x.shape[1:])
            is_everything = np.array_equal(rows, np.arange(x.shape[1]))
            return (x if is_everything else x[:, rows]).reshape(-1, *x.shape[2:])

        return jax.tree.map(of_groups, batch)

    def text_rows(self, shards: int) -> TextRows:
        """For which canvases of `take(WHOLE)` the layers for text are computed.

        All of them where a batch on so many devices is not as many of the same runs on each, and where the number of
        text canvases changes from batch to batch or from part to part of `training.accumulate`.
        """
        return self.may_be_text if self.groups % shards == 0 else ANY_ROW


def rows_by_order(config: Config) -> Rows:
    """Text by the shares of `diffusion.blocks.text`; `whole` has the images as well.

    The shares are exact in every group where the batch can be parted so, and else as near as whole canvases may be.

    Raises:
      InputError: with orders, a batch in which the number of text canvases changes, or too small for the orders or for
        `training.accumulate`.
    """
    size, shares, parts = config.data.batch_size, config.diffusion.blocks.shares, config.training.accumulate
    undivided = Rows(groups=1, of={WHOLE: np.arange(size)})
    if not (config.model.codebook_head or config.model.codebook_input):
        return undivided  # there are no layers for text
    schedule = modality_schedule(config)
    is_mixed = len(set(schedule.tolist())) > 1
    has_orders = set(shares) != {WHOLE}
    if is_mixed and size % len(schedule):
        if not has_orders:
            return undivided
        raise InputError(
            f"data.batch_size={size} is no multiple of the {len(schedule)} canvases after which data.sources repeat: "
            f"choose one, as diffusion.blocks.text={config.diffusion.blocks.text!r} parts batches alike"
        )
    share = np.mean(schedule == TEXT)

    def fits(group: int) -> bool:
        counts = np.array([*(group * share * s for s in shares.values()), group]) / parts
        even = (np.abs(counts - np.round(counts)) < 1e-6).all()
        return bool(size % group == 0 and even and not (is_mixed and group % len(schedule)))

    group = next(filter(fits, range(1, size)), size)
    is_text = np.resize(schedule, group) == TEXT
    text, images = np.flatnonzero(is_text), np.flatnonzero(~is_text)
    of = _shared_out(text, shares, parts) if has_orders else {WHOLE: text}
    if has_orders and not all(map(len, of.values())):
        raise InputError(
            f"data.batch_size={size} has {len(text)} text canvases, too few for diffusion.blocks.text="
            f"{config.diffusion.blocks.text!r} with training.accumulate={parts}: take more"
        )
    whole, may_be_text = _in_parts(of.pop(WHOLE, text[:0]), images, parts)
    return Rows(groups=size // group, of=of | ({WHOLE: whole} if len(whole) else {}), may_be_text=may_be_text)


def _shared_out(text: Int[np.ndarray, " text"], shares: dict[str, float], parts: int) -> dict[str, np.ndarray]:
    """The text of a group by order, each spread over it."""
    counts = _nearest(len(text), shares, parts)
    if not counts.all():
        return dict.fromkeys(shares, text[:0])
    spread = np.resize(Mixture.from_weights(tuple(counts)).schedule, len(text))
    return {name: text[spread == number] for number, name in enumerate(shares)}


def _in_parts(
    text: Int[np.ndarray, " text"], images: Int[np.ndarray, " images"], parts: int
) -> tuple[Int[np.ndarray, " rows"], TextRows]:
    """These rows so that each part, which is every parts-th of them, has as much text and at the same places."""
    if len(text) % parts or len(images) % parts:
        return np.sort(np.concatenate([text, images])), ANY_ROW
    runs = [(run, kind is text) for kind in (text, images) for run in kind.reshape(-1, parts)]
    runs.sort(key=lambda run: run[0][0])
    places = tuple(place for place, (_, is_text) in enumerate(runs) if is_text)
    rows = np.concatenate([run for run, _ in runs]) if runs else text
    return rows, TextRows(period=len(runs), places=places)


def _nearest(total: int, shares: dict[str, float], parts: int) -> Int[np.ndarray, " orders"]:
    """Whole multiples of `parts` that add up to the total, by the largest remainders."""
    exact = np.array(list(shares.values())) * total / parts
    counts = np.floor(exact + 1e-9)
    for number in np.argsort(counts - exact, kind="stable")[: round(total / parts - counts.sum())]:
        counts[number] += 1
    return counts.astype(int) * parts

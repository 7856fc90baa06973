"""The batch of a step, as a pure function: which records, which crops, and the arrays they make.

Global batch s holds positions s·B … s·B+B-1 of the stream, in this order. What a position holds depends on
the seed and the position alone: the n-th draw of a source is the same in every mixture. A host makes a contiguous run
of positions. No iterator carries anything from one batch to the next.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.config import Config
from pixjax.data.context import MIDDLE, Crop, empty_context, paint_context
from pixjax.data.images import CAUSES, BadImage, crop_into
from pixjax.data.keys import fold, permute, randint, uniform
from pixjax.data.labels import first_labels
from pixjax.data.mixture import Mixture
from pixjax.data.source import Ids, ImageSource, PairSource, Picture, Source, TextSource
from pixjax.data.sources import open_source, source_weights
from pixjax.data.token_stream import same_document
from pixjax.errors import InputError

# Streams of keys that must not meet.
_ORDER, _EPOCH, _ROW, _ACROSS, _FLIP, _REPLACE, _PAIR, _PAD, _PIXELS = range(9)

# A bad picture is replaced by another drawn at random from its source, this many times.
_TRIES = 32

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BatchPlan:
    """Makes the local share of any step's global batch: `plan[step]`.

    `sources`, `places` and `mixture` belong together by position. The fields of a batch are those of `make_batches`,
    and `bad`, int64 [k, 3]: a row (source, record, cause) for each picture that was skipped.
    places: of each source in `data.sources`. Its draws go by this, so that they are the same ones, in the same order,
    whatever it is mixed with and in whichever share.
    first_labels: for each source, what is added to its labels; nothing where it is empty. num_classes: of the model.
    context_canvases: of each row; 0: batches have no fields for them. context_pages: how many canvases of the text
    before a window of text are its context. counts_pad: of an answer, see `_paint_answers`; measuring does not.
    """

    sources: Sequence[Source]
    places: Sequence[int]
    mixture: Mixture
    codec: CanvasCodec
    canvas_size: int
    batch_size: int
    seed: int
    flip: bool = True
    first_labels: Sequence[int] = ()
    num_classes: int = 0
    context_canvases: int = 0
    context_pages: int = 0
    counts_pad: bool = True
    shuffle_pixels: bool = False
    shard_index: int = 0
    shard_count: int = 1

    def __post_init__(self):
        if self.batch_size % self.shard_count:
            raise InputError(
                f"data.batch_size={self.batch_size} is not divisible by the {self.shard_count} hosts: choose a multiple"
            )

    def has_context(self, source: Source) -> bool:
        """Whether a canvas of this source may come with a context."""
        return isinstance(source, PairSource) or (self.context_pages > 0 and source.modality == TEXT)

    def __len__(self) -> int:
        return 2**40  # steps: more than any run takes

    def __getitem__(self, step: int) -> Batch:
        size = self.batch_size // self.shard_count
        position = step * self.batch_size + self.shard_index * size + np.arange(size, dtype=np.int64)
        side = self.canvas_size
        batch: Batch = {
            "canvas": np.empty((size, side, side, 3), np.uint8),
            "modality": np.empty(size, np.int32),
            "label": np.full(size, -1, np.int32),
            "loss_mask": np.ones((size, side, side), bool),
            "skipped": np.zeros((size, len(CAUSES)), np.int32),
        }
        if self.context_canvases:
            batch |= empty_context(size, self.context_canvases, side)
        bad: list[tuple[int, int, int]] = []
        of_row, record_of_row, epoch_of_row = self.records(position)
        for number, source in enumerate(self.sources):
            rows = np.flatnonzero(of_row == number)
            if not len(rows):
                continue
            record, epoch = record_of_row[rows], epoch_of_row[rows]
            place = self.places[number]
            keys = fold(self.seed, _ROW, place, epoch, record)
            if isinstance(source, PairSource):
                bad += self._fill_pairs(batch, rows, number, source, record, keys)
            elif source.modality == TEXT:
                self._fill_text(batch, rows, source, record, fold(self.seed, _EPOCH, place, epoch))  # type: ignore[arg-type]
            else:
                bad += self._fill_images(batch, rows, number, source, record, keys)  # type: ignore[arg-type]
        batch["bad"] = np.array(bad, np.int64).reshape(-1, 3)
        return batch

    @functools.cached_property
    def _full_mask(self) -> Bool[np.ndarray, "height width"]:
        """The loss mask of a canvas without PAD."""
        capacity = self.codec.capacity
        return self.codec.loss_mask(np.full((1, capacity), self.codec.eos_id), np.array([capacity]))[0]

    @functools.cached_property
    def _pixel_order(self) -> Int64[np.ndarray, " pixels"]:
        """One for all images, seeds and runs."""
        pixels = self.canvas_size**2
        return permute(np.arange(pixels), pixels, fold(0, _PIXELS))

    def records(self, position: Int64[np.ndarray, "n"]) -> tuple[Int64[np.ndarray, "n"], ...]:
        """What each position of the stream draws: source, record in it, and how often it was gone through
        before.
        """
        of_row, draw = self.mixture.locate(position)
        record, epoch = np.zeros_like(draw), np.zeros_like(draw)
        for number, source in enumerate(self.sources):
            rows = of_row == number
            epoch[rows], turn = np.divmod(draw[rows], len(source))
            record[rows] = permute(turn, len(source), fold(self.seed, _ORDER, self.places[number], epoch[rows]))
        return of_row, record, epoch

    def _fill_text(self, batch: Batch, rows, source: TextSource, record, epoch_key) -> None:
        ids, lengths = source.windows(record, epoch_key)
        batch["canvas"][rows] = self.codec.encode_ids(ids)
        short = lengths < self.codec.capacity
        batch["loss_mask"][rows] = self._full_mask
        batch["loss_mask"][rows[short]] = self.codec.loss_mask(ids[short], lengths[short])
        batch["modality"][rows] = TEXT
        if self.context_pages:
            before = source.before(record, epoch_key, self.context_pages * self.codec.capacity)
            rest = (same_document(ids, self.codec) for ids in before)
            paint_context(batch, rows, [(ids,) if len(ids) else () for ids in rest], [MIDDLE] * len(rows), self.codec)

    def _fill_images(self, batch: Batch, rows, number: int, source: ImageSource, record, keys) -> list:
        pictures, bad = self._load(batch, rows, number, source, record, keys)
        self._paint_pictures(batch, rows, number, pictures, self._crops(keys))
        return bad

    def _fill_pairs(self, batch: Batch, rows, number: int, source: PairSource, record, keys) -> list:
        pairs, bad = self._load(batch, rows, number, source, record, keys)
        crops = self._crops(keys)  # the pictures of a pair are cut and mirrored alike
        if source.modality == TEXT:
            self._paint_answers(batch, rows, [pair.answer for pair in pairs], keys)
        else:
            self._paint_pictures(batch, rows, number, [pair.answer for pair in pairs], crops)
        paint_context(batch, rows, [pair.prompt for pair in pairs], crops, self.codec)
        return bad

    def _paint_answers(self, batch: Batch, rows, answers: list[Ids], keys) -> None:
        """Each on one canvas: the answer, EOS, and PAD; cut, and without EOS, where it is longer.

        Where an answer ends is a part of it, so PAD counts in its loss; but a line of text is little beside the rest of
        its canvas, and would be nothing in the mean. So as many cells of PAD count as the answer has, another run of
        them each time.
        """
        capacity = self.codec.capacity
        ids = [np.append(answer[:capacity], self.codec.eos_id)[:capacity] for answer in answers]
        length = np.array([len(row) for row in ids])[:, None]
        rest = np.maximum(capacity - length, 1)
        start = randint(fold(keys, _PAD)[:, None], rest)
        cell = np.arange(capacity)
        batch["canvas"][rows] = self.codec.encode_ids(np.concatenate([self.codec.pack(row) for row in ids]))
        counted = cell < length
        if self.counts_pad:
            counted |= (cell - length - start) % rest < length
        batch["loss_mask"][rows] = self.codec.mask_of_cells(counted)
        batch["modality"][rows] = TEXT

    def _crops(self, keys) -> list[Crop]:
        across = uniform(fold(keys, _ACROSS)).tolist()
        flip = ((uniform(fold(keys, _FLIP)) < 0.5) & self.flip).tolist()
        return list(zip(across, flip, strict=True))

    def _load(self, batch: Batch, rows, number: int, source: ImageSource | PairSource, record, keys) -> tuple:
        """The pictures or pairs, others in place of the bad ones, and (source, record, cause) of each that was bad."""

        def load(records, keys):
            if isinstance(source, PairSource):
                return source.load(records, fold(keys, _PAIR))
            return source.load(records)

        loaded, bad = load(record, keys), []
        for i, tried in enumerate(record.tolist()):
            for attempt in range(_TRIES):
                if not isinstance(loaded[i], BadImage):
                    break
                cause = CAUSES.index(loaded[i].cause)
                bad.append((number, tried, cause))
                batch["skipped"][rows[i], cause] += 1
                tried = int(uniform(fold(keys[i], _REPLACE, attempt)) * len(source))
                loaded[i] = load([tried], keys[i : i + 1])[0]
            if isinstance(loaded[i], BadImage):
                raise InputError(
                    f"{source.uri}: none of {_TRIES} pictures can be used, the last {source.name(tried)} "
                    f"({loaded[i].cause}: {loaded[i].detail}); mend it, or leave it out of data.sources"
                )
        return loaded, bad

    def _paint_pictures(self, batch: Batch, rows, number: int, pictures: list[Picture], crops: list[Crop]) -> None:
        first_label = self.first_labels[number] if self.first_labels else 0
        for row, picture, (across, flip) in zip(rows, pictures, crops, strict=True):
            crop_into(batch["canvas"][row], picture.pixels, across, flip)
            batch["label"][row] = picture.label + first_label if picture.label >= 0 else -1
        if self.shuffle_pixels:
            canvases = batch["canvas"][rows]
            pixels = canvases.reshape(len(rows), -1, 3)[:, self._pixel_order]
            batch["canvas"][rows] = pixels.reshape(canvases.shape)
        if self.codec.marker:  # only the corner is copied
            corner = slice(self.codec.marker_size)
            batch["canvas"][rows, corner, corner] = self.codec.mark(batch["canvas"][rows, corner, corner], IMAGE)
        batch["modality"][rows] = IMAGE


def make_plan(config: Config, codec: CanvasCodec, *, shard_index: int = 0, shard_count: int = 1) -> BatchPlan:
    """Opens the sources of a config. `plan[step]` is the batch of a step, made here and now.

    Raises `InputError` for sources that cannot be read, or that have more labels than the model has classes.
    """
    weights = source_weights(config)
    size, context, pages = config.model.canvas_size, config.model.context_canvases, config.data.context_pages
    limit = config.data.max_bad_fraction
    sources = tuple(
        open_source(uri, canvas_size=size, codec=codec, context_canvases=context, max_bad_fraction=limit)
        for uri in weights
    )
    return BatchPlan(
        sources=sources,
        places=tuple(map(config.data.sources.index, weights)),
        mixture=Mixture.from_weights(tuple(weights.values())),
        codec=codec,
        canvas_size=size,
        batch_size=config.data.batch_size,
        seed=config.training.seed,
        flip=config.data.flip,
        first_labels=first_labels(sources, config.model.num_classes),
        num_classes=config.model.num_classes,
        context_canvases=context,
        context_pages=pages,
        shuffle_pixels=config.data.shuffle_pixels,
        shard_index=shard_index,
        shard_count=shard_count,
    )

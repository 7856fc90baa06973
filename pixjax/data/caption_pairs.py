"""Pictures and their captions as prompts and answers, in either direction."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int32, UInt64

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.codec.coverage import CoverageCounter, bytes_instead
from pixjax.data.images import BadImage
from pixjax.data.keys import uniform
from pixjax.data.source import ImageSource, Pair, PairSource, Picture
from pixjax.data.source_identity import fingerprint_of
from pixjax.errors import InputError

_TRIED = 64  # records that are read for their captions alone


class CaptionPairs(PairSource):
    """Caption to picture where the answer is IMAGE, picture to caption where it is TEXT.

    Of several captions one is drawn each time. Raises `InputError` for a caption that the tokenizer refuses: at once
    where captions are in memory, else when it is drawn; and at once where it loses more than half of the captions, all
    of them in memory or else the first.
    """

    def __init__(self, pictures: ImageSource, codec: CanvasCodec, answer: Modality):
        self.uri = pictures.uri
        self.modality = answer
        self.num_labels = pictures.num_labels if answer == IMAGE else 0
        self.class_names = getattr(pictures, "class_names", None) if self.num_labels else None
        self.class_records = getattr(pictures, "class_records", None) if self.num_labels else None
        self.notes = getattr(pictures, "notes", ())
        self._pictures = pictures
        self._codec = codec
        counter = CoverageCounter(codec.text_tokenizer)
        for record, caption in self._first_captions():
            counter.add(caption, self._tokenize(caption, record))
        self.coverage = counter.coverage
        self.coverage.require(self.uri, bytes_instead(codec.code))

    def _first_captions(self) -> Iterator[tuple[int, str]]:
        """The captions in memory, or else those of the first records, whose pictures have to be read for them."""
        in_memory = getattr(self._pictures, "captions", None)
        if in_memory is not None:
            yield from ((record, caption) for record, captions in enumerate(in_memory) for caption in captions)
            return
        few = range(min(len(self._pictures), _TRIED))
        for record, picture in zip(few, self._pictures.load(few), strict=True):
            if isinstance(picture, Picture):
                yield from ((record, caption) for caption in picture.captions)

    def __len__(self) -> int:
        return len(self._pictures)

    def name(self, record: int) -> str:
        return self._pictures.name(record)

    def fingerprint(self) -> str | None:
        return fingerprint_of(self._pictures)

    def load(self, records: Iterable[int], keys: UInt64[np.ndarray, "n"]) -> list[Pair | BadImage]:
        records = [int(record) for record in records]
        loaded = zip(records, self._pictures.load(records), uniform(keys).tolist(), strict=True)
        return [p if isinstance(p, BadImage) else self._pair(record, p, draw) for record, p, draw in loaded]

    def _pair(self, record: int, picture: Picture, draw: float) -> Pair:
        """`draw`, in [0, 1), says which caption."""
        if not picture.captions:
            raise InputError(f"{self.uri}: {self.name(record)} has no caption")
        caption = self._tokenize(picture.captions[int(draw * len(picture.captions))], record)
        return Pair((picture,), caption) if self.modality == TEXT else Pair((caption,), picture)

    def _tokenize(self, caption: str, record: int) -> Int32[np.ndarray, "n"]:
        try:
            return self._codec.tokenize(caption)
        except InputError as error:
            raise InputError(f"{self.uri}: a caption of {self.name(record)}: {error}") from None

"""The interface of a data source: a random-access sequence of pictures, of windows of text, or of prompts and
answers.
"""

import abc
import dataclasses
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt64

from pixjax.codec import Modality
from pixjax.codec.coverage import Coverage
from pixjax.data.images import BadImage, Pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A natural image before its crop: `pixels` has a short side of the canvas size."""

    pixels: Pixels
    label: int = -1  # -1: none
    captions: tuple[str, ...] = ()


Ids = Integer[np.ndarray, " _length"]
Part = Ids | Picture  # a text by its token ids, or a picture


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """What is asked, in the order in which it is read, and what is to be answered."""

    prompt: tuple[Part, ...]  # none of them: the answer comes without a context
    answer: Part


@runtime_checkable
class ImageSource(Protocol):
    """Pictures by index. `modality` is `pixjax.codec.IMAGE`.

    A source may also have `class_names`, by label, and `class_records`, how many records each label has (None: not
    known); `notes`, sentences that a user should read; and `stamp(record)`, a string that changes with the record.
    """

    uri: str
    modality: Modality
    num_labels: int  # labels are below this; 0: there are none
    has_captions: bool

    def __len__(self) -> int: ...

    def name(self, record: int) -> str:
        """Where a record comes from, for messages."""
        ...

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        """One for each record; a picture that cannot be used is returned as its `BadImage`."""
        ...


@runtime_checkable
class TextSource(Protocol):
    """Windows of a stream of tokens. `modality` is `pixjax.codec.TEXT`."""

    uri: str
    modality: Modality
    coverage: Coverage | None  # what of the text is in the tokens; None where it was not counted

    def __len__(self) -> int:
        """Windows that hold the whole stream once."""
        ...

    @property
    def num_tokens(self) -> int:
        """The tokens of the whole stream, the EOS of each document included."""
        ...

    def windows(
        self, record: Int64[np.ndarray, " n"], epoch_key: UInt64[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, "n capacity"], Int64[np.ndarray, " n"]]:
        """Token ids, PAD at the end, and how many of each row are not PAD.

        The key, one for an epoch, says where its first window begins, so that canvas borders move.
        """
        ...

    def before(
        self, record: Int64[np.ndarray, " n"], epoch_key: UInt64[np.ndarray, " n"], count: int
    ) -> list[Int32[np.ndarray, " length"]]:
        """Up to `count` tokens that the stream has before each of these windows, none of which is in it."""
        ...


class PairSource(abc.ABC):
    """Prompts and answers. `modality` is that of every answer."""

    uri: str
    modality: Modality
    num_labels: int  # of answers that are pictures
    coverage: Coverage | None = None  # of the texts on either side

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def name(self, record: int) -> str:
        """Where a record comes from, for messages."""

    @abc.abstractmethod
    def load(self, records: Iterable[int], keys: UInt64[np.ndarray, " n"]) -> list[Pair | BadImage]:
        """One for each record; a pair with a picture that cannot be used is that picture's `BadImage`.

        What a record leaves open, such as which of its captions is meant, is drawn from its key.
        """


Source = ImageSource | TextSource | PairSource

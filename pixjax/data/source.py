"""What a data source is: a random-access sequence of pictures, or of windows of text."""

import dataclasses
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from pixjax.data.images import BadImage, Pixels


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A natural image before its crop: `pixels` has a short side of the canvas size."""

    pixels: Pixels
    label: int = -1  # -1: none
    captions: tuple[str, ...] = ()


class ImageSource(Protocol):
    """Pictures by index. `modality` is `pixjax.codec.IMAGE`."""

    uri: str
    modality: int
    num_labels: int  # labels are below this; 0: there are none

    def __len__(self) -> int: ...

    def name(self, record: int) -> str:
        """Where a record comes from, for messages."""
        ...

    def load(self, records: Iterable[int]) -> list[Picture | BadImage]:
        """One for each record; a picture that cannot be used is returned as its `BadImage`."""
        ...


class TextSource(Protocol):
    """Windows of a stream of tokens. `modality` is `pixjax.codec.TEXT`."""

    uri: str
    modality: int

    def __len__(self) -> int:
        """Windows that hold the whole stream once."""
        ...

    @property
    def num_tokens(self) -> int:
        """Of the whole stream, the EOS of each document included."""
        ...

    def windows(
        self, record: Int64[np.ndarray, " n"], epoch_key: UInt64[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, "n capacity"], Int64[np.ndarray, " n"]]:
        """Token ids, PAD at the end, and how many of each row are not PAD.

        The key, one for an epoch, says where its first window begins, so that canvas borders move.
        """
        ...


Source = ImageSource | TextSource

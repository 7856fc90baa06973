"""The blocks of a report: plain values, which `page.py` draws."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

MOST_COLUMNS = 24

Canvases = UInt8[np.ndarray, "_n height width 3"]


@dataclasses.dataclass(frozen=True)
class Prose:
    """Plain text; an empty line parts paragraphs."""

    text: str


@dataclasses.dataclass(frozen=True)
class Figure:
    """A headline number, as it is to be read; the detail says what to compare it with."""

    name: str
    value: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Figures:
    figures: tuple[Figure, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text, the first column naming the row. A column of numbers stands on the right.

    emphasised: the indices of the rows to emphasise.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    emphasised: tuple[int, ...] = ()

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {len(row)} cells does not fit {len(self.columns)} columns: {row}")


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """A line of a chart. None and what is not finite leave a gap; so does what is not positive on a log axis.

    low, high: an interval around each y, drawn as a band, or as error bars where points are not joined.
    joined: whether a line joins the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    joined: bool = True

    def __post_init__(self):
        if (self.low is None) != (self.high is None):
            raise ValueError(f"series {self.name!r} has one end of an interval alone: give low and high, or neither")
        for name in ("y", "low", "high"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.x):
                raise ValueError(f"series {self.name!r} has {len(self.x)} x and {len(values)} {name}")


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """Lines over a common x.

    references: (name, y) of horizontal lines to compare with; the y axis reaches to all of them.
    y_min: where the y axis begins; what is below is cut off. None: at the data.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    references: tuple[tuple[str, float], ...] = ()
    x_log: bool = False
    y_log: bool = False
    y_min: float | None = None

    def __post_init__(self):
        if self.y_log and self.y_min is not None and self.y_min <= 0:
            raise ValueError(f"chart {self.title!r}: a log axis cannot begin at y_min={self.y_min}")


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """Canvases row by row, each pixel a sharp square. On a phone a row may be broken into equal parts."""

    canvases: Canvases
    captions: tuple[str, ...] = ()
    columns: int = 8

    def __post_init__(self):
        if self.captions and len(self.captions) != len(self.canvases):
            raise ValueError(f"{len(self.captions)} captions do not fit {len(self.canvases)} canvases")
        if not 0 < self.columns <= MOST_COLUMNS:
            raise ValueError(f"a gallery of {self.columns} columns: choose 1 to {MOST_COLUMNS}")


@dataclasses.dataclass(frozen=True, eq=False)
class ShadedText:
    """Decoded tokens, each with its decoding margin: 1 is perfect, 0 a tie; what is not finite is marked as unknown."""

    tokens: tuple[str, ...]
    margins: Sequence[float]
    caption: str

    def __post_init__(self):
        if len(self.tokens) != len(self.margins):
            raise ValueError(f"{len(self.tokens)} tokens have {len(self.margins)} margins: {self.caption!r}")


@dataclasses.dataclass(frozen=True)
class ShadedTexts:
    texts: tuple[ShadedText, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectory:
    """How canvases come about, step by step, under a slider. A step of 64x64 noise takes 16 kB for each canvas.

    labels: of each step.
    captions: of each canvas.
    """

    frames: UInt8[np.ndarray, "steps n height width 3"]
    labels: tuple[str, ...]
    title: str
    captions: tuple[str, ...] = ()

    def __post_init__(self):
        steps, num = self.frames.shape[:2]
        if not steps or len(self.labels) != steps:
            raise ValueError(f"{len(self.labels)} labels do not fit {steps} steps: give one or more, each its label")
        if self.captions and len(self.captions) != num:
            raise ValueError(f"{len(self.captions)} captions do not fit {num} canvases")


@dataclasses.dataclass(frozen=True, eq=False)
class Inspector:
    """Canvases to be looked at pixel by pixel: colour, and the token that the pixel is part of.

    cells: the flat index of every pixel of each token's cell, as `CanvasCodec.cell_index`.
    tokens, margins: of each canvas, in the order of `cells`; empty for an image.
    """

    canvases: Canvases
    captions: tuple[str, ...]
    cells: Int[np.ndarray, "capacity pixels"]
    tokens: tuple[tuple[str, ...], ...]
    margins: tuple[Sequence[float], ...]

    def __post_init__(self):
        if not len(self.canvases):
            raise ValueError("an inspector needs a canvas")
        for name in ("captions", "tokens", "margins"):
            if len(getattr(self, name)) != len(self.canvases):
                raise ValueError(f"{len(getattr(self, name))} {name} do not fit {len(self.canvases)} canvases")
        for tokens, margins in zip(self.tokens, self.margins, strict=True):
            if len(tokens) != len(margins) or len(tokens) > len(self.cells):
                raise ValueError(f"{len(tokens)} tokens, {len(margins)} margins do not fit {len(self.cells)} cells")


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Any nested value, folded away: a configuration, an environment."""

    title: str
    value: Any


Block = Prose | Figures | Table | Chart | Gallery | ShadedTexts | Trajectory | Inspector | Data


@dataclasses.dataclass(frozen=True, eq=False)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    title: str
    subtitle: str
    sections: tuple[Section, ...]

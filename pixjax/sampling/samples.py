"""Samples: text decoded, images shown, every canvas kept; in Python, in a notebook, and on disk."""

import base64
import dataclasses
import functools
import html
import io
import json
import os
import pathlib
import re
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from pixjax.codec import TEXT, CanvasCodec, Modality
from pixjax.codec.png import write_png
from pixjax.paths import local_path
from pixjax.sampling.generate import Generated
from pixjax.sampling.pictures import filmstrip, grid, write_animation

_SHOWN = 16  # samples that a notebook shows
_SIDE = 160  # pixels of the screen that a canvas has there
_PRE = "white-space:pre-wrap;max-height:12em;overflow:auto"
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def token_names(codec: CanvasCodec, ids: Int[np.ndarray, " tokens"]) -> tuple[str, ...]:
    """What each token reads by itself: PAD, EOS and parts of a letter by name or number."""
    special = {} if codec.pad_id == codec.eos_id else {codec.pad_id: "⟨pad⟩", codec.eos_id: "⟨end⟩"}
    names: dict[int, str] = {}
    for number in set(ids.tolist()):
        text = special.get(number) or codec.text_tokenizer.decode(np.array([number]))
        names[number] = f"⟨{number}⟩" if not text or "\ufffd" in text else text
    return tuple(names[number] for number in ids.tolist())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Samples:
    """What a model made, each canvas read or shown by its tag. A notebook displays the pictures and the texts.

    pages: the canvases as they were generated; a text of several pages has one in each.
    num, num_pages: how many samples of how many pages were asked for; fewer are there where the work was stopped.
    trajectory: the steps, from 0, of the frames that were kept.
    """

    pages: tuple[Generated, ...]
    codec: CanvasCodec
    num: int
    num_pages: int = 1
    trajectory: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.pages[0].canvases)

    @functools.cached_property
    def canvases(self) -> UInt8[np.ndarray, "num *pages height width 3"]:
        """Levels in [0, 255], as `save` writes them. With `num_pages` above 1 the pages are the second axis; where the
        work was stopped, only those that every sample has.
        """
        if self.num_pages == 1:
            return self.pages[0].canvases
        return np.stack([page.canvases for page in self.pages if len(page.canvases) == len(self)], axis=1)

    @property
    def modality(self) -> Int[np.ndarray, " num"]:
        """What the tag of each sample says, `Modality.TEXT` or `Modality.IMAGE`."""
        return self.pages[0].modality

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """What each sample reads, its pages joined; empty for a natural image."""
        texts = {row["index"]: row["text"] for row in self.rows}
        return tuple(texts.get(index, "") for index in range(len(self)))

    @functools.cached_property
    def margins(self) -> Float[np.ndarray, " num"]:
        """How clearly each text is written: the mean margin of its tokens before rounding, 1 is perfect and 0 a tie;
        NaN for a natural image.
        """
        margins = {row["index"]: row["margin"] for row in self.rows}
        return np.array([margins.get(index, np.nan) for index in range(len(self))])

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of `text.jsonl`, one a text, JSON types: `index` (of the sample), `text`, `token_ids`, `margin`,
        `modality`, and `modality_margin`, or `pages` where several were asked for.
        """
        return [self._row(index) for index in range(len(self)) if self.modality[index] == TEXT]

    def _row(self, index: int) -> dict[str, Any]:
        pages = self._pages_of(index)
        ids = np.concatenate([self.codec.decode_ids(page.canvases[index])[0] for page in pages])
        margin = np.concatenate([self.codec.decode_ids(page.x[index])[1] for page in pages])  # rounding flatters it
        tag = {"modality_margin": float(self.pages[0].modality_margin[index])}
        return {
            "index": index,
            "text": self.codec.detokenize(trim_padding(ids, self.codec)),
            "token_ids": ids.tolist(),
            "margin": float(np.mean(margin)),
            "modality": "text",
            **(tag if self.num_pages == 1 else {"pages": len(pages)}),
        }

    def _pages_of(self, index: int) -> list[Generated]:
        return [page for page in self.pages if index < len(page.canvases)]

    @property
    def made(self) -> int:
        """How many canvases there are, of `num` times `num_pages`."""
        return sum(len(page.canvases) for page in self.pages)

    def grid(self) -> Image.Image:
        """All canvases in one picture; with several pages, a row a text."""
        canvases = self.canvases.reshape(-1, *self.canvases.shape[-3:])
        return grid(canvases, columns=self.num_pages if self.num_pages > 1 else max(1, min(8, len(canvases))))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes what `pixjax sample --out` does: `text.jsonl`, `canvases/*.png` of texts, which decode by themselves,
        `images/*.png`, `grid.png`, and `trajectory.png` and `.gif` where frames were kept. Where the work was stopped,
        pictures of all of them are left out.

        Raises:
          InputError: a folder that is not on this machine.
        """
        out = local_path(folder, "--out")
        self.save_canvases(out)
        if self.made < self.num * self.num_pages:
            return
        self.grid().save(out / "grid.png")
        if self.trajectory:
            filmstrip(self.pages[0], self.trajectory).save(out / "trajectory.png")
            write_animation(out / "trajectory.gif", self.pages[0])

    def save_canvases(self, out: pathlib.Path) -> None:
        """`save` without the pictures of all of them."""
        _clear(out)
        for index in range(len(self)):
            for number, page in enumerate(self._pages_of(index), 1):
                name = f"{index:04d}.png" if self.num_pages == 1 else f"{index:04d}-{number}.png"
                if self.modality[index] == TEXT:
                    write_png(out / "canvases" / name, page.canvases[index], self.codec)
                else:
                    # Pillow itself opens no path in a store.
                    (out / "images" / name).write_bytes(_png(Image.fromarray(page.canvases[index])))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)
        (out / "text.jsonl").write_text(lines, encoding="utf-8")

    def __repr__(self) -> str:
        texts, side = len(self.rows), self.codec.canvas_size
        pages = f" of {self.num_pages} pages" if self.num_pages > 1 else ""
        return f"Samples({len(self)}{pages} on {side}x{side} canvases: {texts} text, {len(self) - texts} images)"

    def _repr_png_(self) -> bytes:
        return _png(self.grid())

    def _repr_html_(self) -> str:
        figures = "".join(self._figure(index) for index in range(min(_SHOWN, len(self))))
        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{figures}</div>{more}'

    def _figure(self, index: int) -> str:
        modality, pages = Modality(int(self.modality[index])), self._pages_of(index)
        images = "".join(_img(page.canvases[index], f"{modality} {index}") for page in pages)
        if modality == TEXT:
            caption = f"{index}: {modality}, margin {self.margins[index]:.2f}"
            below, width = f'<pre style="{_PRE}">{_harmless(self.texts[index])}</pre>', max(2, len(pages)) * _SIDE
        else:
            caption, below, width = f"{index}: {modality}", "", _SIDE
        return f'<figure style="margin:0;width:{width}px">{images}<figcaption>{caption}</figcaption>{below}</figure>'


def write_samples(out: pathlib.Path, made: Generated, codec: CanvasCodec) -> list[dict[str, Any]]:
    """Text canvases become lines of `text.jsonl`, which are returned, and PNGs that decode by themselves; images become
    `images/*.png`.
    """
    samples = Samples(pages=(made,), codec=codec, num=len(made.canvases))
    samples.save_canvases(out)
    return samples.rows


def _clear(out: pathlib.Path) -> None:
    """Folders for new samples; those of a larger number of samples, or of pages, do not stay among them."""
    for folder in (out / "images", out / "canvases"):
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in (*folder.glob("[0-9][0-9][0-9][0-9].png"), *folder.glob("[0-9][0-9][0-9][0-9]-*.png")):
            earlier.unlink()


def trim_padding(ids: Int[np.ndarray, "tokens"], codec: CanvasCodec) -> Int[np.ndarray, "content"]:
    """The tokens without the EOS and the PAD that nothing follows."""
    content = np.flatnonzero((ids != codec.pad_id) & (ids != codec.eos_id))
    return ids[: content[-1] + 1] if len(content) else ids[:0]


def _harmless(text: str) -> str:
    """For an element of HTML; a control, or half a letter, is shown as �."""
    return html.escape(_UNSEEN.sub("\ufffd", text))


def _img(canvas: UInt8[np.ndarray, "height width 3"], alt: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(_png(Image.fromarray(canvas))).decode()}"
    return f'<img alt="{alt}" style="width:{_SIDE}px;image-rendering:pixelated;margin:0" src="{source}">'


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()

"""What goes into training, at a glance: a contact sheet of the stream's first records, and their statistics."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from pixjax.codec import IMAGE, TEXT
from pixjax.data.batch_plan import BatchPlan
from pixjax.data.images import CAUSES
from pixjax.data.source import Picture

_CELL = 128  # pixels of a canvas on the sheet
_LINES = 3
_LINE = 13
_LETTERS = 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """The first records of a mixture: `canvases`, a line about each (two for what it says), and statistics."""

    canvases: UInt8[np.ndarray, "num height width 3"]
    headings: tuple[str, ...]
    words: tuple[str, ...]
    statistics: dict[str, Any]


def make_preview(plan: BatchPlan, num: int) -> Preview:
    """Reads records 0 … num-1 of the stream, as training would."""
    plan = dataclasses.replace(plan, batch_size=num, shard_index=0, shard_count=1)
    batch = plan[0]
    source_of, record_of, _ = plan.records(np.arange(num))
    is_text = batch["modality"] == TEXT
    decoded = plan.codec.decode(batch["canvas"][is_text])
    texts = iter(decoded.texts)
    headings, words = [], []
    for row in range(num):
        replaced = batch["skipped"][row].any()
        heading = "text" if is_text[row] else f"image {batch['label'][row]}" if batch["label"][row] >= 0 else "image"
        headings.append(heading + (" (replaced)" if replaced else ""))
        words.append(
            next(texts) if is_text[row] else "" if replaced else _caption(plan, source_of[row], record_of[row])
        )
    return Preview(
        canvases=batch["canvas"],
        headings=tuple(headings),
        words=tuple(words),
        statistics=_statistics(plan, batch, source_of, record_of, decoded),
    )


def _caption(plan: BatchPlan, source: int, record: int) -> str:
    picture = plan.sources[source].load([int(record)])[0]  # type: ignore[union-attr]
    return picture.captions[0] if isinstance(picture, Picture) and picture.captions else ""


def _statistics(
    plan: BatchPlan, batch: dict[str, np.ndarray], source_of: np.ndarray, record_of: np.ndarray, decoded: Any
) -> dict[str, Any]:
    num = len(source_of)
    sources = [
        {
            "uri": source.uri,
            "records": len(source),
            "share": plan.mixture.counts[number] / plan.mixture.counts.sum(),
            "measured_share": float((source_of == number).mean()),
        }
        for number, source in enumerate(plan.sources)
    ]
    by_modality = {}
    for modality, name in ((TEXT, "text"), (IMAGE, "image")):
        rows = batch["modality"] == modality
        if rows.any():
            canvases = batch["canvas"][rows].astype(np.float64)
            by_modality[name] = {
                "measured_share": float(rows.mean()),
                "color_mean": canvases.mean((0, 1, 2)).round(2).tolist(),
                "color_std": canvases.std((0, 1, 2)).round(2).tolist(),
                "pixels_in_loss": float(batch["loss_mask"][rows].mean()),
            }
    if decoded.texts:
        lengths = np.concatenate(
            [
                source.windows(rows, np.zeros(len(rows), np.uint64))[1]  # type: ignore[union-attr]
                for number, source in enumerate(plan.sources)
                if source.modality == TEXT and len(rows := record_of[source_of == number])
            ]
        )
        letters = [len(text) for text in decoded.texts]
        by_modality["text"] |= {
            "tokens_per_canvas": {"min": int(lengths.min()), "mean": float(lengths.mean()), "max": int(lengths.max())},
            "letters_per_canvas": {"min": min(letters), "mean": float(np.mean(letters)), "max": max(letters)},
            "letters_per_token": float(np.sum(letters) / max(1, lengths.sum())),
            "capacity": plan.codec.capacity,
        }
    if "image" in by_modality:
        labels = batch["label"][batch["modality"] == IMAGE]
        by_modality["image"]["labels"] = len(set(labels[labels >= 0].tolist()))
    skipped = {cause: int(count) for cause, count in zip(CAUSES, batch["skipped"].sum(0), strict=True) if count}
    return {"records": num, "block": len(plan.mixture.schedule), "sources": sources, **by_modality, "skipped": skipped}


def contact_sheet(preview: Preview) -> Image.Image:
    """All canvases, enlarged by whole pixels where they are small, each over its modality, label and words."""
    num = len(preview.canvases)
    columns = min(8, num)
    scale = max(1, _CELL // preview.canvases.shape[1])
    side = preview.canvases.shape[1] * scale
    cell = max(side, _CELL)
    height = side + _LINES * _LINE + 10
    sheet = Image.new("RGB", (columns * (cell + 8) + 8, -(-num // columns) * height + 8), (250, 250, 250))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for number, canvas in enumerate(preview.canvases):
        left, top = 8 + number % columns * (cell + 8), 8 + number // columns * height
        sheet.paste(Image.fromarray(canvas).resize((side, side), Image.Resampling.NEAREST), (left, top))
        lines = (preview.headings[number], *_wrap(preview.words[number]))
        for line, text in enumerate(lines):
            color = (20, 20, 160) if line == 0 else (30, 30, 30)
            draw.text((left, top + side + 2 + line * _LINE), text, fill=color, font=font)
    return sheet


def _wrap(words: str) -> Sequence[str]:
    """The beginning, in lines; what is not printable is a dot."""
    letters = "".join(letter if letter.isprintable() else "·" for letter in words[: (_LINES - 1) * _LETTERS])
    return [letters[start : start + _LETTERS] for start in range(0, len(letters), _LETTERS)]

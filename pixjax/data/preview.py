"""A preview of training data: a contact sheet of the stream's first records, and their statistics."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from pixjax.codec import IMAGE, TEXT, Modality
from pixjax.codec.id_stream import content_length
from pixjax.data.batch_plan import BatchPlan
from pixjax.data.images import CAUSES
from pixjax.data.labels import count_classes, source_notes
from pixjax.data.source import PairSource, Picture, Source

_CELL = 128  # pixels of a canvas on the sheet
_LINES = 3
_LINE = 13
_LETTERS = 22


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """A canvas, a line about it, and what it says."""

    canvas: UInt8[np.ndarray, "height width 3"]
    heading: str
    text: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """The first records of a mixture, the context of each, None where it has no further canvas, and statistics."""

    records: tuple[Panel, ...]
    contexts: tuple[tuple[Panel | None, ...], ...]
    statistics: dict[str, Any]


def make_preview(plan: BatchPlan, num: int) -> Preview:
    """Reads records 0 … num-1 of the stream, as training would."""
    plan = dataclasses.replace(plan, batch_size=num, shard_index=0, shard_count=1)
    batch = plan[0]
    source_of, record_of, _ = plan.records(np.arange(num))
    is_text = batch["modality"] == TEXT
    decoded = plan.codec.decode(batch["canvas"][is_text])
    texts = iter(decoded.texts)
    records = []
    for row in range(num):
        replaced = batch["skipped"][row].any()
        heading = "text" if is_text[row] else f"image {batch['label'][row]}" if batch["label"][row] >= 0 else "image"
        caption = "" if is_text[row] or replaced else _caption(plan, source_of[row], record_of[row])
        records.append(
            Panel(
                canvas=batch["canvas"][row],
                heading=heading + (" (replaced)" if replaced else ""),
                text=next(texts) if is_text[row] else caption,
            )
        )
    return Preview(
        records=tuple(records),
        contexts=tuple(_context(plan, batch, row) for row in range(num)),
        statistics=_statistics(plan, batch, source_of, record_of, decoded),
    )


def _context(plan: BatchPlan, batch: dict[str, np.ndarray], row: int) -> tuple[Panel | None, ...]:
    def panel(page: int) -> Panel | None:
        if not batch["context_present"][row, page]:
            return None
        canvas = batch["context"][row, page]
        if batch["context_modality"][row, page] == IMAGE:
            return Panel(canvas=canvas, heading="given: image")
        return Panel(canvas=canvas, heading="given: text", text=plan.codec.detokenize(plan.codec.decode_ids(canvas)[0]))

    return tuple(panel(page) for page in range(plan.context_canvases))


def _caption(plan: BatchPlan, number: int, record: int) -> str:
    source = plan.sources[number]
    if isinstance(source, PairSource):  # it is in the context
        return ""
    picture = source.load([int(record)])[0]  # type: ignore[union-attr]
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
            **_coverage(plan, source),
            **_classes(source),
            "skipped_rows": dict(getattr(source, "skipped", {})),
        }
        for number, source in enumerate(plan.sources)
    ]
    by_modality = {}
    for modality in Modality:
        name, rows = str(modality), batch["modality"] == modality
        if rows.any():
            canvases = batch["canvas"][rows].astype(np.float64)
            by_modality[name] = {
                "measured_share": float(rows.mean()),
                "color_mean": canvases.mean((0, 1, 2)).round(2).tolist(),
                "color_std": canvases.std((0, 1, 2)).round(2).tolist(),
                "pixels_in_loss": float(batch["loss_mask"][rows].mean()),
            }
    if decoded.texts:
        lengths = _text_lengths(plan, batch, source_of, decoded)
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
    if plan.context_canvases:
        present, of_context = batch["context_present"], batch["context_modality"]
        by_modality["context"] = {
            "measured_share": float(present.any(axis=1).mean()),
            "canvases": float(present.sum(axis=1).mean()),
            **{str(m): float((present & (of_context == m)).any(axis=1).mean()) for m in Modality},
        }
    skipped = {cause: int(count) for cause, count in zip(CAUSES, batch["skipped"].sum(0), strict=True) if count}
    notes = source_notes(plan.sources, plan.num_classes)
    overall = {"records": num, "block": len(plan.mixture.schedule), "sources": sources, "notes": notes}
    return {**overall, **by_modality, "skipped": skipped}


def _classes(source: Source) -> dict[str, Any]:
    """Records by class, where a source counts them."""
    records = getattr(source, "class_records", None)
    return {"classes": count_classes(source.class_names, records)} if records and source.num_labels else {}  # type: ignore[union-attr]


def _coverage(plan: BatchPlan, source: Source) -> dict[str, Any]:
    """The characters of a source whose text the tokenizer rewrites, and how many of them are lost."""
    coverage = getattr(source, "coverage", None)
    if coverage is None or not (plan.codec.normalize and coverage.characters):
        return {}
    return {"characters": coverage.characters, "lost_characters": coverage.lost, "lost": str(coverage)}


def _text_lengths(plan: BatchPlan, batch: dict[str, np.ndarray], source_of: np.ndarray, decoded: Any) -> np.ndarray:
    """Tokens of each canvas of text without its PAD, which has no loss, or, after an answer, is not content."""
    is_text = batch["modality"] == TEXT
    counted = batch["loss_mask"][is_text].reshape(int(is_text.sum()), -1)[:, plan.codec.cell_index[:, 0]].sum(axis=1)
    content = np.array([content_length(ids, plan.codec.pad_id) for ids in decoded.token_ids])
    is_answer = np.array([isinstance(plan.sources[number], PairSource) for number in source_of[is_text]])
    return np.where(is_answer, content, counted)


def contact_sheet(preview: Preview) -> Image.Image:
    """All canvases, enlarged by whole pixels where they are small, each over its modality, label and text; the
    context of a canvas stands before it.
    """
    of_record = 1 + len(preview.contexts[0])
    panels = [panel for of, context in zip(preview.records, preview.contexts, strict=True) for panel in (*context, of)]
    columns = min(max(1, 8 // of_record) * of_record, len(panels))
    canvas_size = preview.records[0].canvas.shape[0]
    side = canvas_size * max(1, _CELL // canvas_size)
    cell = max(side, _CELL)
    height = side + _LINES * _LINE + 10
    sheet = Image.new("RGB", (columns * (cell + 8) + 8, -(-len(panels) // columns) * height + 8), (250, 250, 250))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for number, panel in enumerate(panels):
        if panel is None:
            continue
        left, top = 8 + number % columns * (cell + 8), 8 + number // columns * height
        sheet.paste(Image.fromarray(panel.canvas).resize((side, side), Image.Resampling.NEAREST), (left, top))
        for line, text in enumerate((panel.heading, *_wrap(panel.text))):
            color = (20, 20, 160) if line == 0 else (30, 30, 30)
            draw.text((left, top + side + 2 + line * _LINE), text, fill=color, font=font)
    return sheet


def _wrap(text: str) -> Sequence[str]:
    """The beginning, in lines; what is not printable is a dot."""
    letters = "".join(letter if letter.isprintable() else "·" for letter in text[: (_LINES - 1) * _LETTERS])
    return [letters[start : start + _LETTERS] for start in range(0, len(letters), _LETTERS)]

"""Samples on disk: text decoded, images shown, every canvas kept."""

import io
import json
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from pixjax.codec import TEXT, CanvasCodec
from pixjax.codec.png import write_png
from pixjax.evaluation.generate import Generated


def write_samples(out: pathlib.Path, made: Generated, codec: CanvasCodec) -> list[dict[str, Any]]:
    """Text canvases become lines of `text.jsonl` and PNGs that decode by themselves; images become `images/*.png`.

    Returns:
      The lines: `index` (of the sample), `text`, `token_ids`, `margin` (mean over the tokens), `modality`,
      `modality_margin`.
    """
    clear_samples(out)
    rows = []
    for index, canvas in enumerate(made.canvases):
        if made.modality[index] != TEXT:
            content = io.BytesIO()  # Pillow itself opens no path in a store
            Image.fromarray(canvas).save(content, "PNG")
            (out / "images" / f"{index:04d}.png").write_bytes(content.getvalue())
            continue
        write_png(out / "canvases" / f"{index:04d}.png", canvas, codec)
        ids, _ = codec.decode_ids(canvas)
        _, margin = codec.decode_ids(made.x[index])  # before rounding, which would flatter it
        rows.append(
            {
                "index": index,
                "text": codec.detokenize(until_the_end(ids, codec)),
                "token_ids": ids.tolist(),
                "margin": float(np.mean(margin)),
                "modality": "text",
                "modality_margin": float(made.modality_margin[index]),
            }
        )
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "text.jsonl").write_text(lines, encoding="utf-8")
    return rows


def clear_samples(out: pathlib.Path) -> None:
    """Folders for new samples; those of a larger number of samples, or of pages, do not stay among them."""
    for folder in (out / "images", out / "canvases"):
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in (*folder.glob("[0-9][0-9][0-9][0-9].png"), *folder.glob("[0-9][0-9][0-9][0-9]-*.png")):
            earlier.unlink()


def until_the_end(ids: Int[np.ndarray, "tokens"], codec: CanvasCodec) -> Int[np.ndarray, "content"]:
    """The tokens without the EOS and the PAD that nothing follows."""
    content = np.flatnonzero((ids != codec.pad_id) & (ids != codec.eos_id))
    return ids[: content[-1] + 1] if len(content) else ids[:0]

"""The blocks that are looked at: galleries, trajectories, and the inspector of single pixels."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixjax.report.blocks import MOST_COLUMNS, Gallery, Inspector, Trajectory
from pixjax.report.text import DASH, escape, script_json, token_text, visible

_NARROW = 5  # canvases in a row on a phone, at most
_ROWS = (("pixel", "pixel"), ("colour", "color"), ("token number", "index"), ("token", "token"), ("margin", "margin"))


def gallery_html(gallery: Gallery) -> str:
    return _tiles_html([_data_uri(canvas) for canvas in gallery.canvases], gallery.captions, gallery.columns)


def trajectory_html(trajectory: Trajectory) -> str:
    """A canvas's steps lie below each other in one image, of which a square window shows one."""
    steps, num = trajectory.frames.shape[:2]
    films = [_data_uri(np.concatenate(trajectory.frames[:, i])) for i in range(num)]
    title, last = escape(trajectory.title), escape(trajectory.labels[-1])
    return (
        f'<figure class="trajectory"><figcaption>{title}</figcaption>'
        f"{_tiles_html(films, trajectory.captions, min(num, 8))}"
        '<div class="controls"><button type="button">Play</button>'
        f'<input type="range" min="0" max="{steps - 1}" value="{steps - 1}" aria-label="{title}"'
        f' aria-valuetext="{last}"><output>{last}</output></div>'
        f'<script type="application/json">{script_json([visible(label) for label in trajectory.labels])}</script>'
        "</figure>"
    )


def inspector_html(inspector: Inspector) -> str:
    _, height, width, _ = inspector.canvases.shape
    images = [_data_uri(canvas) for canvas in inspector.canvases]
    captions = [escape(caption) or f"canvas {i + 1}" for i, caption in enumerate(inspector.captions)]
    buttons = (
        f'<button type="button" aria-pressed="false"><img src="{image}" alt="">{caption}</button>'
        for image, caption in zip(images, captions, strict=True)
    )
    values = {
        "width": width,
        "height": height,
        "pixels": [base64.b64encode(canvas.tobytes()).decode() for canvas in inspector.canvases],
        "cells": inspector.cells,
        "tokens": [[token_text(token) for token in tokens] for tokens in inspector.tokens],
        "margins": [[round(float(margin), 3) for margin in margins] for margins in inspector.margins],
    }
    rows = (f'<div><dt>{name}</dt><dd class="{row}">{DASH}</dd></div>' for name, row in _ROWS)
    return (
        '<figure class="inspector"><figcaption>Point at a pixel, or move with the arrow keys.</figcaption>'
        f'<div class="picker" role="group" aria-label="Canvas">{"".join(buttons)}</div>'
        '<div class="desk"><div class="view" tabindex="0" role="group" aria-label="Pixels of the canvas">'
        f'<img src="{images[0]}" alt="{captions[0]}"><svg viewBox="0 0 {width} {height}" aria-hidden="true">'
        '<path class="under"/><path class="over"/></svg></div>'
        f'<div class="readout" aria-live="polite"><div class="swatch"></div><dl>{"".join(rows)}</dl>'
        '<p class="context"></p></div></div>'
        f'<script type="application/json">{script_json(values)}</script></figure>'
    )


def column_rules() -> str:
    """The style of the galleries: a class for each number of columns, and how many of them a phone shows."""
    rules = [f".columns-{n} {{ --columns: {n} }}" for n in range(1, MOST_COLUMNS + 1)]
    narrow = [f".columns-{n} {{ --columns: {_narrow(n)} }}" for n in range(_NARROW + 1, MOST_COLUMNS + 1)]
    return "\n".join([*rules, "@media (max-width: 40rem) {", *narrow, "}\n"])


def _narrow(columns: int) -> int:
    """A part of a row that goes into it without a rest, where there is one."""
    return next((n for n in range(_NARROW, 2, -1) if columns % n == 0), _NARROW)


def _tiles_html(images: Sequence[str], captions: Sequence[str], columns: int) -> str:
    figures = []
    for index, image in enumerate(images):
        caption = escape(captions[index]) if captions else ""
        alt = caption or f"canvas {index + 1} of {len(images)}"
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        figures.append(f'<figure><img src="{image}" alt="{alt}">{below}</figure>')
    return f'<div class="tiles columns-{columns}">{"".join(figures)}</div>'


def _data_uri(canvas: UInt8[np.ndarray, "height width 3"]) -> str:
    content = io.BytesIO()
    Image.fromarray(np.asarray(canvas)).save(content, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"

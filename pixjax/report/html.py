"""Every block of a report as HTML, but for charts; any string and any number harmless, and visible."""

import base64
import html
import io
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pixjax.report.blocks import (
    MOST_COLUMNS,
    Data,
    Figures,
    Gallery,
    Inspector,
    Prose,
    ShadedText,
    ShadedTexts,
    Table,
    Trajectory,
)

DASH = "—"
_JOINERS = "\u200c\u200d"  # they shape the letters of many scripts, and emoji


def visible(text: str) -> str:
    """The text with every character to be seen: controls as pictures (␀), what has no shape as its code (\\u202e).

    Line feeds and tabs stay, and so do joiners between two letters. What comes out can be encoded as UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" or _joins(text, index) else _shown(char)
        for index, char in enumerate(text)
    )


def _joins(text: str, index: int) -> bool:
    around = text[index - 1 : index] + text[index + 1 : index + 2]
    return text[index] in _JOINERS and len(around) == 2 and around.isprintable() and " " not in around


def _shown(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(char) in ("Zs", "Co"):  # spaces, and letters of the reader's own font
        return char
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def escape(text: str) -> str:
    """For an element or an attribute of HTML."""
    return html.escape(visible(text))


def token_text(token: str) -> str:
    """A token by itself, where white space and nothing have to be seen too."""
    return visible(token).replace("\n", "↵").replace("\t", "⇥").replace(" ", "␣") or "∅"


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, a dash for None and what is not finite.

    Examples: 0.04213, 3.2, 1,234,567, 2.5e-07.
    """
    if value is None or not math.isfinite(value):
        return DASH
    if abs(value) >= 10 ** (digits - 1):
        return f"{round(value):,}"
    return f"{value:.{digits}g}"


def indented_json(value: Any) -> str:
    """A nested value as JSON to be read: null for what is not finite, text for what JSON does not know."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def script_json(value: Any) -> str:
    """A value as the content of a `<script type="application/json">`: ASCII, and without any `<`."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and JAX
        return _plain(value.tolist())
    return str(value)


_NUMBER = re.compile(r"[-−+±<>≤≥~]?\s?[\d.,]*\d[\d.,]*(e[-+]?\d+)?\s?[%kMGx×]?(\s*[±(\[].*)?|—|")
_NOT_A_NUMBER = {"nan", "inf", "-inf", "+inf", "none"}
_SHADES = 10  # of shades.css, from a tie to perfect

_NARROW = 5  # canvases in a row on a phone, at most
_ROWS = (("pixel", "pixel"), ("colour", "color"), ("token number", "index"), ("token", "token"), ("margin", "margin"))


def prose_html(prose: Prose) -> str:
    paragraphs = re.split(r"\n\s*\n", prose.text.strip())
    return "\n".join(f'<p class="prose">{escape(paragraph)}</p>' for paragraph in paragraphs)


def figures_html(figures: Figures) -> str:
    tiles = (
        f'<div><dt>{escape(one.name)}</dt><dd class="value">{_cell(one.value)}</dd><dd>{escape(one.detail)}</dd></div>'
        for one in figures.figures
    )
    return f'<dl class="figures">{"".join(tiles)}</dl>'


def table_html(table: Table) -> str:
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    classes = [' class="number"' if column and all(map(_is_number, column)) else "" for column in columns]

    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(table.columns, classes, strict=True)
    )
    body = []
    for index, (first, *others) in enumerate(table.rows):
        row = [f'<th scope="row"{classes[0]}>{_cell(first)}</th>']
        row += [f"<td{kind}>{_cell(text)}</td>" for kind, text in zip(classes[1:], others, strict=True)]
        emphasis = ' class="emphasised"' if index in table.emphasised else ""
        body.append(f"<tr{emphasis}>{''.join(row)}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    name, rows = escape(table.caption or ", ".join(table.columns)), "\n".join(body)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(_cell(text).strip()) is not None


def _cell(text: str) -> str:
    return DASH if text.strip().lower() in _NOT_A_NUMBER else escape(text)


def shaded_texts_html(texts: ShadedTexts) -> str:
    shades = "".join(f'<span class="m{shade}"></span>' for shade in reversed(range(_SHADES + 1)))
    key = f'<p class="key">Shaded by decoding margin: 1, perfect <span aria-hidden="true">{shades}</span> 0, a tie</p>'
    return f'{key}<div class="texts">{"".join(map(_shaded_text_html, texts.texts))}</div>'


def _shaded_text_html(text: ShadedText) -> str:
    caption = escape(text.caption)
    tokens = (_token_html(*token) for token in zip(text.tokens, text.margins, strict=True))
    return (
        f'<figure class="shaded"><figcaption>{caption}</figcaption>'
        f'<p dir="auto" role="group" tabindex="0" aria-label="{caption}. Arrow keys read the margins.">'
        f"{''.join(tokens)}</p></figure>"
    )


def _token_html(token: str, margin: float) -> str:
    """A line feed keeps a sign, so that its shade is seen."""
    known = math.isfinite(margin)
    shade = round(_SHADES * min(max(margin, 0), 1)) if known else "unknown"
    value = f"{margin:.2f}" if known else DASH
    shown = escape(token).replace("\n", "↵\n") or "∅"
    return f'<span class="m{shade}" data-m="{value}">{shown}</span>'


def data_html(data: Data) -> str:
    return f"<details><summary>{escape(data.title)}</summary><pre>{escape(indented_json(data.value))}</pre></details>"


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

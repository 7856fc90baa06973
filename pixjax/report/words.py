"""The blocks that are read: prose, headline figures, tables, decoded text, nested values."""

import math
import re

from pixjax.report.blocks import Data, Figures, Prose, ShadedText, ShadedTexts, Table
from pixjax.report.text import DASH, escape, indented_json

_NUMBER = re.compile(r"[-−+±<>≤≥~]?\s?[\d.,]*\d[\d.,]*(e[-+]?\d+)?\s?[%kMGx×]?(\s*[±(\[].*)?|—|")
_NOT_A_NUMBER = {"nan", "inf", "-inf", "+inf", "none"}
_SHADES = 10  # of shades.css, from a tie to perfect


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

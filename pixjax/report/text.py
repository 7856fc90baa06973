"""Any string and any number as they may stand in a page: harmless, and visible."""

import html
import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

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

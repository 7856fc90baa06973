"""The description of a codec as JSON: in a checkpoint's folder, and in the text chunk of a PNG."""

import json
from collections.abc import Mapping
from typing import Any

from pixjax.errors import InputError

FORMAT = 1
_TYPES: dict[str, type] = {
    "tokenizer": str,
    "code": str,
    "layout": str,
    "canvas_size": int,
    "marker": bool,
    "marker_size": int,
    "patch_size": str,
    "normalize": bool,
}
_MAX_CANVAS = 4096


def describe(settings: Mapping[str, Any], vocab_size: int, digests: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a codec, with what is needed to see that it is the same one when it is read again."""
    return {
        "format": FORMAT,
        **{key: settings[key] for key in _TYPES},
        "vocab_size": vocab_size,
        "tokenizer_sha256": dict(digests),
    }


def settings_of(description: Any, where: str) -> dict[str, Any]:
    """The arguments of `CanvasCodec` in a description. Raises `InputError` for one that is not whole."""
    remedy = "it was damaged, or written by something else"
    if not isinstance(description, Mapping) or "format" not in description:
        raise InputError(f"{where} is no description of a codec: {remedy}")
    if description["format"] != FORMAT:
        raise InputError(f"{where} has format {description['format']!r}, this version reads {FORMAT}: update pixjax")
    for key, kind in {**_TYPES, "vocab_size": int, "tokenizer_sha256": dict}.items():
        if type(description.get(key)) is not kind:
            raise InputError(f"{where}: {key}={description.get(key)!r} is not a {kind.__name__}: {remedy}")
    if not 1 <= description["canvas_size"] <= _MAX_CANVAS:
        raise InputError(f"{where}: canvas_size={description['canvas_size']} is not in 1 to {_MAX_CANVAS}: {remedy}")
    return {key: description[key] for key in _TYPES}


def parse_description(text: str | bytes, where: str) -> dict[str, Any]:
    """JSON to a description. Raises `InputError` for what is none."""
    try:
        description = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is not JSON: it was damaged, or written by something else") from None
    settings_of(description, where)
    return description

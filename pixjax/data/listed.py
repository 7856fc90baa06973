"""Lists of what belongs to pictures, such as labels or captions: a JSON object a line, with the name of its file."""

import json
from collections.abc import Mapping

from pixjax.errors import InputError

_NAME_KEYS = ("file", "file_name")


def read_lines_by_file(data: bytes, where: str) -> Mapping[str, list[dict]]:
    """The lines of JSONL by their key `file` (or `file_name`), in their order. `where` names the list in errors.

    Raises `InputError` naming the line that is wrong.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where} is not UTF-8 text: byte {error.start} cannot be decoded; convert it first, as with iconv"
        ) from None
    lines: dict[str, list[dict]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name = entry[next((key for key in _NAME_KEYS if key in entry), _NAME_KEYS[0])]
            lines.setdefault(name, []).append(entry)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{where} line {number} is not a JSON object with the key 'file'") from None
        if not isinstance(name, str):
            raise InputError(f"{where} line {number}: 'file' is {str(name)[:40]!r}, not the name of a picture")
    return lines

"""Lists of what belongs to pictures, such as labels or captions, and the picture that a line means: names vary."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pixjax.errors import InputError

_NAME_KEYS = ("file", "file_name")


def match_names(pictures: Sequence[str], listed: Iterable[str]) -> list[str | None]:
    """For each picture the listed name that means it, None where there is none.

    The first of these that finds one counts: the same name; the same but for Unicode's composition, backslashes and
    folders around everything, on either side; the last part of the name, where only one picture has it; both without
    regard to case; the name without its ending. A name that could mean two pictures means neither.
    """
    listed = list(listed)
    found: list[str | None] = [None] * len(pictures)
    given = frozenset(listed)
    for index, name in enumerate(pictures):
        if name in given:
            found[index] = name
    cleaned, cleaned_listed = [_clean(name) for name in pictures], [_clean(name) for name in listed]
    around, around_listed = common_folder(cleaned), common_folder(cleaned_listed)
    for of_picture, of_listed, may_share in _WAYS:
        rest = [index for index, name in enumerate(found) if name is None]
        if not rest:
            break
        means: dict[str, set[str]] = {}
        for name, original in zip(cleaned_listed, listed, strict=True):
            means.setdefault(of_listed(name[len(around_listed) :]), set()).add(original)
        keys = [of_picture(name[len(around) :]) for name in cleaned]
        counts = Counter(keys)
        for index in rest:
            candidates = means.get(keys[index], ())
            if len(candidates) == 1 and (may_share or counts[keys[index]] == 1):
                (found[index],) = candidates
    return found


def common_folder(names: Iterable[str]) -> str:
    """The folder that all these are in, with the slash at its end; empty where there is none."""
    common: list[str] | None = None
    for name in names:
        parts = name.split("/")[:-1]
        if common is None:
            common = parts
        elif common != parts[: len(common)]:
            same = next(i for i, part in enumerate(common) if i >= len(parts) or parts[i] != part)
            common = common[:same]
        if not common:
            return ""
    return "/".join(common or []) + "/" if common else ""


def _clean(name: str) -> str:
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _last(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return folder + slash + (stem if dot and stem else last)


def _same(name: str) -> str:
    return name


def _last_folded(name: str) -> str:
    return _last(name).casefold()


def _stem_folded(name: str) -> str:
    return _stem(name).casefold()


def _last_stem_folded(name: str) -> str:
    return _stem(_last(name)).casefold()


# How a picture's name is read, how a listed one, and whether several pictures may be meant by one name.
_WAYS: tuple[tuple[Callable[[str], str], Callable[[str], str], bool], ...] = (
    (_same, _same, False),
    (_last, _last, False),
    (str.casefold, str.casefold, False),
    (_last_folded, _last_folded, False),
    (_stem, _same, True),
    (_stem_folded, _stem_folded, False),
    (_last_stem_folded, _last_stem_folded, False),
)


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

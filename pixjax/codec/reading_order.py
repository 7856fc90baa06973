"""Pages, in whatever order they were given, as the texts that they make up."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

from pixjax.codec.png import Page
from pixjax.errors import InputError

_NAMED = 5  # page numbers in an error


def pages_by_text(pages: Sequence[Page], tolerant: bool = False) -> list[list[Page]]:
    """The pages of each text in their order; the texts in the order in which their first page was given.

    Pages that do not say which text they belong to are one text where they follow each other and have one
    codec. Raises `InputError` naming the pages of a text that are missing or given more than once; with
    `tolerant`, the text is what there is of it, and the first of several equal pages counts. A page given all
    alone is read by itself.
    """
    texts: dict[tuple, list[Page]] = {}
    for number, (key, run) in enumerate(itertools.groupby(pages, key=lambda page: (page.text_id, page.codec))):
        text_id, _ = key
        texts.setdefault(key if text_id else (number, key), []).extend(run)
    return [_in_order(text, tolerant or len(pages) == 1) if text[0].text_id else text for text in texts.values()]


def _in_order(text: list[Page], tolerant: bool) -> list[Page]:
    given = Counter(page.page for page in text)
    total = max(page.pages for page in text)
    missing = (number for number in range(1, total + 1) if number not in given)
    repeated = (number for number in sorted(given) if given[number] > 1)
    wrong = [
        *_named(missing, total - len(given), "missing"),
        *_named(repeated, sum(count > 1 for count in given.values()), "given twice"),
    ]
    if wrong and not tolerant:
        raise InputError(
            f"of a text of {total:,} pages, {' and '.join(wrong)}: give each page once (--tolerant reads what there is)"
        )
    first_of_each = {page.page: page for page in reversed(text)}
    return [first_of_each[number] for number in sorted(first_of_each)]


def _named(numbers: Iterator[int], count: int, what: str) -> list[str]:
    """The first few of them in words; nothing where there are none."""
    if not count:
        return []
    shown = ", ".join(str(number) for number in itertools.islice(numbers, _NAMED))
    more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
    return [f"page {shown} is {what}" if count == 1 else f"pages {shown}{more} are {what}"]

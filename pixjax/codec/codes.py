"""The registry of colour codes, by the word that `codec.code` begins with."""

from pixjax.codec.color import ColorCode
from pixjax.codec.radix import RadixCode
from pixjax.errors import InputError

CODES: dict[str, type[ColorCode]] = {"base256": RadixCode, "radix": RadixCode}


def parse_code(text: str, vocab_size: int) -> ColorCode:
    """The code that a text such as `radix:auto:1` names, for a vocabulary.

    Raises `InputError` for anything else, and for a vocabulary that the code does not hold.
    """
    kind = CODES.get(text.partition(":")[0])
    if kind is None or (code := kind.parse(text, vocab_size)) is None:
        forms = dict.fromkeys(known.form for known in CODES.values())
        raise InputError(f"code {text!r} is unknown: write {'; or '.join(forms)}")
    return code

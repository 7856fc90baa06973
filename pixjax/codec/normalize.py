"""Any text in 27 letters, by the rules of text8 (Mahoney, "About the test data", 2011)."""

import re
import unicodedata

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def to_27_letters(text: str) -> str:
    """Lower case, accents stripped, digits spelled, everything else a single space. Idempotent."""
    plain = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    spelled = re.sub(r"[0-9]", lambda match: f" {_NAMES[int(match[0])]} ", plain)
    return re.sub(r"[^a-z]+", " ", spelled).strip(" ")

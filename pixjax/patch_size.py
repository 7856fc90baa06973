"""The size of a patch as a config writes it."""

import re

from pixjax.errors import InputError


def parse_patch_size(patch_size: str) -> tuple[int, int]:
    """`"4"` is (4, 4); `"1x16"` is one row of sixteen pixels, (height, width).

    Raises:
      InputError: anything else.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", patch_size.strip())
    if match is None or 0 in (sides := [int(side or match[1]) for side in match.groups()]):
        raise InputError(f"patch size {patch_size!r} is not a size: write 4 for 4x4 pixels, or 1x16")
    return sides[0], sides[1]

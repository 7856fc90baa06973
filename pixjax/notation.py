"""The short notations of a config: the size of a patch, laws and grids of time, blocks of text, lists of sources."""

import math
import re
from collections.abc import Sequence

from pixjax.errors import InputError, require

MAX_CANVAS_SIZE = 4096  # pixels a side

# One entry of a comma-separated list of sources begins with its scheme, on the same line or the next.
_NEXT_SOURCE = re.compile(r",\s*(?=[a-z_]+:)")


def parse_time_law(text: str) -> tuple[str, tuple[float, ...]]:
    """`uniform`, `logit_normal:MEAN:STD`, `log_sigma:MEAN:STD`, `log_snr:MIN:MAX` or `adaptive:MIN:MAX`, as its name
    and its numbers.
    """
    name, *numbers = text.split(":")
    try:
        parameters = tuple(float(n) for n in numbers)
    except ValueError:
        parameters = (math.nan,)
    count = {"uniform": 0, "logit_normal": 2, "log_sigma": 2, "log_snr": 2, "adaptive": 2}.get(name)
    known = len(parameters) == count
    known = known and all(map(math.isfinite, parameters))
    if name in ("logit_normal", "log_sigma"):
        known = known and parameters[1] > 0
    if name in ("log_snr", "adaptive"):
        known = known and -25 <= parameters[0] < parameters[1] <= 25
    require(
        known,
        f"time law {text!r} is unknown: write uniform, logit_normal:MEAN:STD or log_sigma:MEAN:STD with STD above 0, "
        "or log_snr:MIN:MAX or adaptive:MIN:MAX with -25 <= MIN < MAX <= 25",
    )
    return name, parameters


def parse_blocks(text: str) -> dict[str, float]:
    """`whole`, a number of cells, or a mixture such as `1:0.6,8:0.1,whole:0.3`, as the share of each."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition(":")
        known = name == "whole" or (name.isdecimal() and int(name) > 0)
        try:
            value = float(share or 1)
        except ValueError:
            value = math.nan
        require(
            known and value > 0 and math.isfinite(value) and name not in shares and ("," not in text or bool(share)),
            f"blocks {text!r} are unknown: write whole, a number of cells such as 1, or shares of several, as in "
            "1:0.6,8:0.1,whole:0.3",
        )
        shares[name] = value
    return {name: share / sum(shares.values()) for name, share in shares.items()}


def parse_grid(text: str) -> tuple[str, tuple[float, ...]]:
    """`uniform`, `log_snr[:MIN:MAX]` or `edm[:SIGMA_MIN:SIGMA_MAX[:RHO]]`, as its name and its numbers."""
    name, *numbers = text.split(":")
    try:
        given = tuple(float(n) for n in numbers)
    except ValueError:
        given = (math.nan,)
    defaults = {"uniform": (), "log_snr": (-10.0, 10.0), "edm": (0.002, 80.0, 7.0)}
    known = name in defaults and len(given) in {"uniform": (0,), "log_snr": (0, 2), "edm": (0, 2, 3)}[name]
    parameters = given + defaults[name][len(given) :] if known else ()
    if name == "log_snr":
        known = known and -25 <= parameters[0] < parameters[1] <= 25
    if name == "edm":
        known = known and 1e-5 <= parameters[0] < parameters[1] <= 1e5 and 1 <= parameters[2] <= 100
    require(
        known,
        f"grid {text!r} is unknown: write uniform, log_snr:MIN:MAX with -25 <= MIN < MAX <= 25, or "
        "edm:SIGMA_MIN:SIGMA_MAX:RHO with 1e-5 <= SIGMA_MIN < SIGMA_MAX <= 1e5 and 1 <= RHO <= 100",
    )
    return name, parameters


def split_sources(uris: Sequence[str]) -> tuple[str, ...]:
    """Source URIs, where one string may hold several, separated by commas."""
    return tuple(part for uri in uris for part in _NEXT_SOURCE.split(uri))


def parse_patch_size(patch_size: str) -> tuple[int, int]:
    """`"4"` is (4, 4); `"1x16"` is one row of sixteen pixels, (height, width).

    Raises:
      InputError: anything else.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", patch_size.strip())
    if match is None or 0 in (sides := [int(side or match[1]) for side in match.groups()]):
        raise InputError(f"patch size {patch_size!r} is not a size: write 4 for 4x4 pixels, or 1x16")
    return sides[0], sides[1]

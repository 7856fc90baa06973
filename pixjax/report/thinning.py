"""Fewer points, the same picture."""

import numpy as np
from jaxtyping import Float, Int

BUCKETS = 600  # pixels that a chart is wide, about


def kept_points(
    place: Float[np.ndarray, " n"], curves: Float[np.ndarray, "curves n"], buckets: int = BUCKETS
) -> Int[np.ndarray, " kept"]:
    """Which of many points to draw, so that lines through them look as through all of them.

    In each of `buckets` equal parts of the axis the first and the last point are kept, the lowest and the highest of
    each curve (M4, Jugel et al., VLDB 2014), and the first that is nan, so that a gap stays. All are kept where there
    are few.

    Args:
      place: of each point on the axis, from 0 to 1, ascending.
      curves: what is drawn over it; nan is neither low nor high.
    """
    n = len(place)
    if n <= 4 * buckets:
        return np.arange(n)
    kept: set[int] = set()
    for run in np.split(np.arange(n), np.flatnonzero(np.diff(np.floor(place * buckets))) + 1):
        values = curves[:, run]
        gap = np.isnan(values)
        lowest, highest = np.where(gap, np.inf, values).argmin(axis=1), np.where(gap, -np.inf, values).argmax(axis=1)
        first_gap = gap.argmax(axis=1)[gap.any(axis=1)]
        kept.update(run[[0, -1, *lowest, *highest, *first_gap]].tolist())
    return np.array(sorted(kept))

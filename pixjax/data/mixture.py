"""The source that each position of the stream draws from: a fixed schedule, exact over every block."""

import dataclasses

import numpy as np
from jaxtyping import Int64

_LONGEST_BLOCK = 10_000


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """`schedule[p % len(schedule)]` is the source of position p.

    In every block of `len(schedule)` positions source i comes exactly `counts[i]` times, and in any run of
    positions it is less than two places from its share, so that the parts of a batch on different hosts
    are balanced too.
    """

    schedule: Int64[np.ndarray, " block"]
    counts: Int64[np.ndarray, " sources"]
    _rank: Int64[np.ndarray, " block"]

    @classmethod
    def from_weights(cls, weights: tuple[float, ...]) -> "Mixture":
        """Weights are relative. Shares that no block of 10,000 can hold exactly are rounded to it."""
        shares = np.asarray(weights, np.float64) / np.sum(weights)
        counts = _exact_counts(shares)
        exact_shares = counts / counts.sum()
        schedule, taken = [], np.zeros(len(counts), np.int64)
        rank = []
        for place in range(int(counts.sum())):
            # The source furthest behind its share; rounding hides differences that are only floating point.
            source = int(np.argmax(np.round(exact_shares * (place + 1) - taken, 9)))
            schedule.append(source)
            rank.append(taken[source])
            taken[source] += 1
        return cls(np.array(schedule, np.int64), counts, np.array(rank, np.int64))

    def locate(self, position: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """For each position its source, and how many earlier positions draw from that source."""
        block, place = np.divmod(np.asarray(position, np.int64), len(self.schedule))
        source = self.schedule[place]
        return source, block * self.counts[source] + self._rank[place]


def _exact_counts(shares: np.ndarray) -> Int64[np.ndarray, " sources"]:
    """The smallest block that holds the shares as whole numbers, at least one each."""
    blocks = np.arange(1, _LONGEST_BLOCK + 1)
    scaled = shares[None, :] * blocks[:, None]
    exact = (np.abs(scaled - np.round(scaled)) < 1e-6).all(1) & (np.round(scaled) >= 1).all(1)
    block = int(blocks[np.argmax(exact)]) if exact.any() else _LONGEST_BLOCK
    counts = np.maximum(np.round(shares * block), 1).astype(np.int64)
    counts[np.argmax(counts)] += block - counts.sum()
    return counts

"""The Gaussian noise that a color code withstands: analytic, by Monte Carlo, and beside Shannon's limit.

Noise is σ·ε on the scale [-1, 1], ids are uniform. A symbol error is a nearest-colour decoding to another id.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float, Integer

from pixjax.codec.nearest import nearest_legal, nearest_level, to_units
from pixjax.codec.radix import RadixCode


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold:
    """The σ at which symbols err at a given rate, with the ends of its 95 % confidence interval."""

    sigma: float
    low: float
    high: float


class ErrorRate:
    """The analytic symbol error rate of a code as a function of σ.

    A token is right when every channel stays within half the gap to the neighbouring level; a neighbour that would be
    no id's colour does not count, as nothing decodes to it. Exact for a code whose strings are all legal; otherwise the
    cells have slanted corners that are left out, far beyond the error rates of interest.
    """

    def __init__(self, code: RadixCode):
        positions = code.level_values.astype(np.float64) / 127.5 - 1
        half_gaps = np.append(np.diff(positions) / 2, np.inf)
        kinds = np.zeros((code.vocab_size, code.num_digits), np.int64)
        legal = _LegalStrings(code)
        for i in range(code.num_digits):
            digit = code.digits[:, i].astype(np.int64)
            up = legal.after_step(i, 1)
            down = legal.after_step(i, -1)
            kinds[:, i] = digit * 4 + up * 2 + down
        self._used, inverse = np.unique(kinds, return_inverse=True)
        self._kinds, self._weights = np.unique(
            np.sort(inverse.reshape(kinds.shape), axis=1), axis=0, return_counts=True
        )
        level = self._used // 4
        self._up = np.where(self._used & 2, half_gaps[level], np.inf)
        self._down = np.where(self._used & 1, half_gaps[level - 1], np.inf)

    def __call__(self, sigma: float) -> float:
        stays = np.array([_phi(u / sigma) - _phi(-d / sigma) for u, d in zip(self._up, self._down, strict=True)])
        right = np.prod(stays[self._kinds], axis=1)
        return float(1 - np.average(right, weights=self._weights))

    def sigma_at(self, rate: float) -> float:
        """The σ at which the error rate is `rate`."""
        low, high = 1e-6, 1e3
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self(middle) < rate else (low, middle)
        return math.sqrt(low * high)


class _LegalStrings:
    """Which digit strings near those of the ids are themselves an id's."""

    def __init__(self, code: RadixCode):
        self._code = code
        self._digits = code.digits.astype(np.int64)

    def after_step(self, i: int, step: int) -> np.ndarray:
        """For every id: is it still an id when digit i changes by `step`?"""
        changed = self._digits.copy()
        changed[:, i] += step
        inside = np.zeros(len(changed), bool)
        for box in self._code.boxes:
            inside |= ((changed >= box.lower) & (changed <= box.upper)).all(axis=1)
        return inside


def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


@dataclasses.dataclass(frozen=True)
class NoisyTokens:
    """A fixed draw of uniform ids and standard normal noise, on which error rates at several σ are comparable."""

    code: RadixCode
    ids: Integer[np.ndarray, "n"]
    noise: Float[np.ndarray, "n digits"]

    @classmethod
    def draw(cls, code: RadixCode, samples: int, seed: int) -> "NoisyTokens":
        random = np.random.default_rng(seed)
        ids = random.integers(0, code.vocab_size, samples)
        return cls(code, ids, random.standard_normal((samples, code.num_digits), dtype=np.float32))

    def at(self, sigma: float) -> Float[np.ndarray, "n digits"]:
        """The noisy colours."""
        return self.code.colors.reshape(self.code.vocab_size, -1)[self.ids] + np.float32(sigma) * self.noise

    def rounded_wrong(self, sigma: float) -> "NoisyTokens":
        """The tokens that do not round to their own digits: all others are decoded rightly at this σ and below."""
        digits = nearest_level(to_units(self.at(sigma)), self.code.levels)
        wrong = (digits != self.code.digits[self.ids]).any(axis=1)
        return NoisyTokens(self.code, self.ids[wrong], self.noise[wrong])

    def errors(self, sigma: float) -> int:
        """How many are decoded to another id."""
        suspects = self.rounded_wrong(sigma)
        if not len(suspects.ids):
            return 0
        digits, _ = nearest_legal(to_units(suspects.at(sigma)), self.code.levels, self.code.boxes)
        return int((self.code.ids_of(digits) != suspects.ids).sum())


def measure_threshold(code: RadixCode, rate: float, guess: float, samples: int, seed: int) -> Threshold:
    """σ at an error rate by Monte Carlo over `samples` tokens; `guess` is where to look (within a factor of 1.5)."""
    tokens = NoisyTokens.draw(code, samples, seed)
    top = 1.5 * guess
    suspects = tokens.rounded_wrong(top)

    def solve(errors: float) -> float:
        low, high = guess / 1.5, top
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if suspects.errors(middle) < errors else (low, middle)
        return (low + high) / 2

    spread = 1.96 * math.sqrt(rate * (1 - rate) * samples)
    return Threshold(
        sigma=solve(rate * samples),
        low=solve(max(rate * samples - spread, 0.5)),
        high=solve(rate * samples + spread),
    )


def shannon_sigma(code: RadixCode) -> float:
    """The largest σ at which any code could carry as many bits a channel at the power that this one's pixels have.

    C = ½ log2(1 + P / σ²) bits a real channel (Shannon 1949), P the mean square of the painted channels.
    """
    rate = math.log2(code.vocab_size) / code.num_digits
    power = float(np.mean(code.colors.astype(np.float64) ** 2))
    return math.sqrt(power / (4**rate - 1))


def zipf_log_prior(vocab_size: int) -> Float[np.ndarray, "vocab"]:
    """log-probabilities of p(i) ∝ 1 / (i + 1): the usual shape of word and token frequencies."""
    weight = 1 / np.arange(1, vocab_size + 1)
    return np.log(weight / weight.sum())


def soft_and_hard_errors(
    code: RadixCode, sigma: float, log_prior: Float[np.ndarray, "vocab"], samples: int, seed: int
) -> tuple[float, float]:
    """Error rates of the most probable id given a unigram prior, and of the nearest colour, ids drawn from the prior.

    The most probable id is sought among those that differ from the nearest one in any of its six least certain digits,
    each by the level on the other side of the noise: at error rates of a few per cent no other can win.
    """
    random = np.random.default_rng(seed)
    ids = random.choice(code.vocab_size, samples, p=np.exp(log_prior))
    tokens = NoisyTokens(code, ids, random.standard_normal((samples, code.num_digits), dtype=np.float32))
    x = tokens.at(sigma)
    nearest, _ = nearest_legal(to_units(x), code.levels, code.boxes)
    hard = code.ids_of(nearest)

    positions = code.level_values.astype(np.float32) / 127.5 - 1
    toward = np.clip(nearest + np.where(x > positions[nearest], 1, -1), 0, code.levels - 1)
    cost = (x - positions[toward]) ** 2 - (x - positions[nearest]) ** 2
    cost[toward == nearest] = np.inf
    flips = np.argsort(cost, axis=1)[:, : min(6, code.num_digits)]
    best, best_score = hard.copy(), log_prior[hard]
    for mask in range(1, 1 << flips.shape[1]):
        chosen = flips[:, [i for i in range(flips.shape[1]) if mask >> i & 1]]
        digits = nearest.copy()
        np.put_along_axis(digits, chosen, np.take_along_axis(toward, chosen, axis=1), axis=1)
        legal = np.zeros(samples, bool)
        for box in code.boxes:
            legal |= ((digits >= box.lower) & (digits <= box.upper)).all(axis=1)
        penalty = np.take_along_axis(cost, chosen, axis=1).sum(axis=1) / (2 * sigma**2)
        other = code.ids_of(np.where(legal[:, None], digits, nearest))
        score = np.where(legal, log_prior[other] - penalty, -np.inf)
        best, best_score = np.where(score > best_score, other, best), np.maximum(score, best_score)
    return float(np.mean(best != ids)), float(np.mean(hard != ids))

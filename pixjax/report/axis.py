"""An axis: from what to what it reaches, where its ticks are, and what they say."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

_ONE_VALUE = 1e-9  # values that differ by less than this share of them, or by _SMALLEST, are one
_SMALLEST = 1e-99
_LONGEST_LABEL = 9  # characters that there is room for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."]:
        """0 at the low end, 1 at the high end."""
        if self.log and self.high < 2 * self.low:  # the logarithms of the ends may differ in their last digits alone
            return np.log1p((value - self.low) / self.low) / np.log1p((self.high - self.low) / self.low)
        scale = np.log if self.log else np.asarray
        low, high = scale(self.low), scale(self.high)
        return (scale(value) - low) / (high - low)


def make_axis(values: Sequence[float], *, log: bool, low: float | None = None, tight: bool = False) -> Axis:
    """The axis that shows all values: at least one, of a size up to 1e300, on a log axis 1e-300 at least.

    low: where it begins instead of at the lowest value.
    tight: it ends at the data, not at the next tick.
    """
    first, last = min(values) if low is None else low, max(values)
    if last - first <= max(_ONE_VALUE * abs(last), _SMALLEST) and not (log and last / first >= 2):
        last = max(first, last)  # a single value, in the middle
        around = 0.1 * abs(last) if abs(last) > 10 * _SMALLEST else 1.0
        above, below = (last * 1.5, last / 1.5) if log else (last + around, last - around)
        first, last = below if low is None else first, above
    if log and last / first >= 2:
        return _log_axis(first, last, low is not None, tight)
    step = _nice_step((last - first) / 5)
    if not tight:
        last = step * math.ceil(last / step - 1e-9)
        expanded = step * math.floor(first / step + 1e-9)
        first = first if low is not None or (log and expanded <= 0) else expanded
    ticks = [step * k for k in range(math.ceil(first / step - 1e-9), math.floor(last / step + 1e-9) + 1)]
    return Axis(low=first, high=last, log=log, ticks=tuple(zip(ticks, _labels(ticks, step), strict=True)))


def _log_axis(first: float, last: float, low_given: bool, tight: bool) -> Axis:
    decades = math.log10(last) - math.log10(first)
    mantissas = (1, 2, 5) if decades < 2.5 else (1,)
    stride = max(1, round(decades / 5))
    exponents = range(math.floor(math.log10(first)) - 1, math.ceil(math.log10(last)) + 2)
    grid = [mantissa * 10.0**k for k in exponents for mantissa in mantissas]
    if not tight:
        last = min(tick for tick in grid if tick >= last * (1 - 1e-9))
        first = first if low_given else max(tick for tick in grid if tick <= first * (1 + 1e-9))
    shown = [tick for tick in grid if first * (1 - 1e-9) <= tick <= last * (1 + 1e-9)]
    if mantissas == (1,):
        shown = [tick for tick in shown if round(math.log10(tick)) % stride == 0]
    powers = mantissas == (1,) and not (first > 0.99e-3 and last < 1.01e6)
    labels = [_power_of_ten(tick) if powers else tick_label(tick, tick) for tick in shown]
    return Axis(low=first, high=last, log=True, ticks=tuple(zip(shown, labels, strict=True)))


def _labels(ticks: Sequence[float], step: float) -> list[str]:
    """Of each tick its value; where that takes too many digits, its distance from the first one."""
    labels = [tick_label(tick, step) for tick in ticks]
    if len(set(labels)) == len(labels) and max(map(len, labels), default=0) <= _LONGEST_LABEL:
        return labels
    about = float(f"{ticks[0]:.1e}")
    digit = 10.0 ** (math.floor(math.log10(abs(about))) - 1)
    return [f"≈{tick_label(about, digit)}", *(f"+{tick_label(step * k, step)}" for k in range(1, len(ticks)))]


def _power_of_ten(value: float) -> str:
    return "10" + str(round(math.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _nice_step(rough: float) -> float:
    """The 1, 2, 2.5 or 5 times a power of ten that is nearest above."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * mantissa for mantissa in (1, 2, 2.5, 5, 10) if power * mantissa >= rough * (1 - 1e-9))


def tick_label(value: float, step: float) -> str:
    """As short as it may be with ticks `step` apart."""
    if abs(value) < step / 2:
        return "0"
    size = max(abs(value), step)
    if size >= 1e10 or step < 0.99e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    unit, suffix = (1e6, "M") if step >= 1e5 and size >= 1e6 else (1e3, "k") if step >= 500 and size >= 1e4 else (1, "")
    decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    if round(step / unit * 10**decimals, 6) % 1:  # a step of 2.5
        decimals += 1
    return f"{value / unit:,.{decimals}f}{suffix}".replace("-", "−")

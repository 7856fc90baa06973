"""Values of a config from what a person or a file writes: plain mappings to typed dataclasses, checked once."""

import dataclasses
import difflib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pixjax.errors import InputError, require

_EXACT = 2.0**53  # beyond it a float is not one whole number


def build(kind: type, values: Mapping[str, Any], prefix: str, known_keys: Callable[[], Sequence[str]]) -> Any:
    """A dataclass of these values, those of its own dataclasses included.

    Args:
      prefix: of its keys in errors, for instance `sampling.`.
      known_keys: every dotted key of the whole config, of which an error names the nearest.

    Raises:
      InputError: an unknown key, a wrong type, or what the dataclass refuses.
    """
    types = get_type_hints(kind)
    for key in values:
        if key not in types:
            raise InputError(unknown_key(f"{prefix}{key}", known_keys()))
    return kind(**{key: _coerce(types[key], value, f"{prefix}{key}", known_keys) for key, value in values.items()})


def _coerce(kind: Any, value: Any, key: str, known_keys: Callable[[], Sequence[str]]) -> Any:
    """JSON has no tuples, and a person writes 4 for a float or a string, or 1e5 for 100000; all else is an error."""
    value = plain(value)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build(kind, value, f"{key}.", known_keys)  # type: ignore[arg-type]
    if get_args(kind)[1:] == (...,) and isinstance(value, list | tuple):
        return tuple(_coerce(get_args(kind)[0], item, key, known_keys) for item in value)
    if kind is str and type(value) is int:
        return str(value)
    if kind is float and type(value) is int:
        return float(value)
    if kind is int and type(value) is float and value.is_integer() and abs(value) <= _EXACT:  # 1e5 steps
        return int(value)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        require(value in choices, f"{key}={value!r} is unknown: choose one of {', '.join(choices)}")
        return value
    if type(value) is kind:
        require(kind is not float or math.isfinite(value), f"{key}={value} has to be a finite number")
        return value
    raise InputError(f"{key}={value!r} has the wrong type: expected {getattr(kind, '__name__', kind)}")


def require_range(section: str, config: Any, **ranges: tuple[float, float]) -> None:
    """Raises `InputError` unless each key of the config lies between two values, both included."""
    for key, (low, high) in ranges.items():
        value = getattr(config, key)
        limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        require(low <= value <= high, f"{section}.{key}={value} has to be {limits}")


def plain(value: Any) -> Any:
    """A number or an array of NumPy as Python has it; a path as a text."""
    return os.fspath(value) if isinstance(value, os.PathLike) else getattr(value, "tolist", lambda: value)()


def keys_of(kind: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a config, for instance `model.patch_size`."""
    keys = []
    for name, field in get_type_hints(kind).items():
        keys += keys_of(field, f"{prefix}{name}.") if dataclasses.is_dataclass(field) else [f"{prefix}{name}"]
    return keys


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The message for a key that is not among the known ones."""
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
    return f"unknown config key {key!r}: did you mean {nearest!r}?"

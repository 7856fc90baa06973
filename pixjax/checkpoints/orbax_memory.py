"""Saves by orbax that leave nothing behind in memory.

What tensorstore tells as JSON stays in memory for ever: it makes dictionaries of Python from it, and keeps a reference
to each key and each value that nothing gives back (JsonToPyObject in its json_type_caster.cc, version 0.1.86). In a
save orbax asks it twice for each item how many bytes it has written since the process began, some 130 objects, for
metrics that pixjax does not read, and for each array the place that orbax itself has just told it, 4 objects.
"""

import contextlib
import sys
import types
from typing import Any

import tensorstore as ts


def answer_orbax_without_json() -> None:
    """From now on orbax, in this process, does not ask tensorstore for what would stay in memory."""
    if not _json_stays_in_memory():
        return
    with contextlib.suppress(ImportError):  # private modules; without them a save leaves some 0.1 MiB
        from orbax.checkpoint._src.serialization import jax_array_handlers, tensorstore_utils

        for module in (jax_array_handlers, tensorstore_utils):
            vars(module)["ts"] = _tensorstore()


def _json_stays_in_memory() -> bool:
    told = ts.KvStore.Spec({"driver": "memory", "path": "of a value that nothing else refers to"}).to_json()
    return sys.getrefcount(told["path"]) > 2  # the dictionary's reference, and that of this call


class _PlaceAsJson(dict):
    """In the place of a `ts.KvStore.Spec`, for which tensorstore takes JSON too."""

    def to_json(self) -> dict[str, Any]:
        return dict(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(ts.KvStore.Spec(dict(self)), name)


class _KvStore:
    """`ts.KvStore`, but for its `Spec`."""

    Spec = _PlaceAsJson

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, ts.KvStore)

    def __getattr__(self, name: str) -> Any:
        return getattr(ts.KvStore, name)


def _tensorstore() -> types.ModuleType:
    """Tensorstore, but for what orbax asks of it as JSON in a save."""
    module = types.ModuleType(ts.__name__)
    vars(module).update(vars(ts))
    vars(module).update(KvStore=_KvStore(), experimental_collect_matching_metrics=lambda prefix: [])
    return module

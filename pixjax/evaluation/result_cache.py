"""A cache of results: what was stopped goes on, and nothing is measured twice."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultCache:
    """Results that are kept as they come, in a folder, under a key that says what they were measured on."""

    folder: epath.Path
    key: str

    @classmethod
    def of(cls, folder: epath.Path, **facts: Any) -> "ResultCache":
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
        return cls(folder=folder, key=key)

    def also(self, **facts: Any) -> "ResultCache":
        """The same folder, under a key that says more."""
        return ResultCache.of(self.folder, key=self.key, **facts)

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """The kept value of a measurement, JSON types, or what `measure` says now."""
        path = self.folder / f"{name}.json"
        try:
            kept = json.loads(path.read_text())
            if kept["key"] == self.key:
                return kept["value"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there, or half-written
        value = measure()
        path.write_text(json.dumps({"key": self.key, "value": value}))
        return value

    def get_arrays(self, name: str, measure: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        path = self.folder / f"{name}.npz"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
                if str(kept["key"]) == self.key:
                    return {field: kept[field] for field in kept.files if field != "key"}
        except (OSError, ValueError, KeyError, EOFError):
            pass
        arrays = measure()
        file = io.BytesIO()
        np.savez_compressed(file, **arrays | {"key": np.array(self.key)})  # type: ignore[arg-type]
        path.write_bytes(file.getvalue())
        return arrays

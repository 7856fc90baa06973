"""A check that all processes of a run mean the same run."""

import hashlib
import json
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixjax.checkpoints.provenance import versions
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.errors import InputError


def require_agreement(config: Config, codec: CanvasCodec, data_state: dict[str, Any]) -> None:
    """Raises `InputError` on every process when they differ in config, code, libraries, tokenizer or data.

    The message says who differs from process 0, and in what.
    """
    if jax.process_count() == 1:
        return
    known = versions()
    facts: dict[str, Any] = {
        "the config": config.to_dict(),
        "the code of pixjax": known["source_sha256"],
        "the versions of Python and libraries": {
            k: v for k, v in known.items() if k not in ("source_sha256", "git_revision")
        },
        "the codec": codec.to_dict(),
        "the data": [data_state["sources"], data_state.get("classes")],
    }
    mine = np.stack([_digest(value) for value in facts.values()])
    theirs = np.asarray(multihost_utils.process_allgather(mine)).reshape(jax.process_count(), *mine.shape)
    differing = [
        f"process {process} in {' and '.join(names)}"
        for process in range(1, len(theirs))
        if (names := [n for n, a, b in zip(facts, theirs[0], theirs[process], strict=True) if not np.array_equal(a, b)])
    ]
    if differing:
        raise InputError(f"the processes do not mean the same run: {', '.join(differing)} differ(s) from process 0")


def _digest(value: Any) -> np.ndarray:
    """Eight uint32, which is what travels between devices."""
    return np.frombuffer(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest(), np.uint32)

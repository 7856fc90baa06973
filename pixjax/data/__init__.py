"""Data: sources, their mixture, and batches as a pure function of (seed, step).

Nothing is imported until it is asked for: grain brings JAX with it, and a command may only want one source.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixjax.data.batches import BatchIterator, make_batches
    from pixjax.data.context import CONTEXT_FIELDS
    from pixjax.data.images import CAUSES
    from pixjax.data.sources import modality_schedule, open_source, text_share

_HOME = {
    "BatchIterator": "pixjax.data.batches",
    "make_batches": "pixjax.data.batches",
    "CAUSES": "pixjax.data.images",
    "CONTEXT_FIELDS": "pixjax.data.context",
    "modality_schedule": "pixjax.data.sources",
    "open_source": "pixjax.data.sources",
    "text_share": "pixjax.data.sources",
}

__all__ = [
    "CAUSES",
    "CONTEXT_FIELDS",
    "BatchIterator",
    "make_batches",
    "modality_schedule",
    "open_source",
    "text_share",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)

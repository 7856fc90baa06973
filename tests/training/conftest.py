"""Configs small enough to train in a test."""

import pytest

from pixjax.config import Config


def tiny_dict(**sections) -> dict:
    """A tiny mixed run as plain values, its sections updated."""
    values = {
        "model": {
            "variant": "Ti", "canvas_size": 16, "patch_size": "4", "tagging": "marker", "depth": 2, "width": 32, "heads": 2,
            "bottleneck": 16, "in_context_tokens": 2, "dtype": "float32",
        },
        "codec": {"tokenizer": "chars27", "normalize": True, "code": "radix:3:1", "layout": "patch", "marker": True},
        "data": {"batch_size": 8, "sources": ["demo:text", "demo:images"]},
        "training": {
            "steps": 6, "checkpoint_every": 3, "log_every": 1, "warmup_steps": 2, "learning_rate": 1e-3, "ema_decays": [0.9, 0.5],
        },
        "sampling": {"steps": 2, "batch_size": 4},
    }  # fmt: skip
    return {name: values.get(name, {}) | sections.get(name, {}) for name in values | sections}


@pytest.fixture
def tiny_config():
    """`tiny_config(training={"steps": 4})` is a `Config`."""
    return lambda **sections: Config.from_dict(tiny_dict(**sections))

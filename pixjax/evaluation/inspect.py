"""What a workdir holds, read from its metadata alone: no array is loaded."""

import math
from typing import Any

from etils import epath

from pixjax.errors import InputError
from pixjax.training.checkpoint import Checkpoints, read_run


def describe(workdir: epath.Path) -> dict[str, Any]:
    """Steps, parameter counts, codec and config as plain values; raises `InputError` without a checkpoint."""
    config, codec = read_run(workdir)
    with Checkpoints(workdir, read_only=True) as checkpoints:
        if not (steps := checkpoints.steps()):
            raise InputError(f"{workdir} has no checkpoint: train there first, or name another workdir")
        shapes = checkpoints.shapes(steps[-1], "params")
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        module = name.split("/")[0]
        sizes[module] = sizes.get(module, 0) + math.prod(shape)
    return {
        "steps": steps,
        "parameters": sum(sizes.values()),
        "parameters_by_module": dict(sorted(sizes.items(), key=lambda item: -item[1])),
        "codec": {
            "tokenizer": config.codec.tokenizer,
            "code": config.codec.code,
            "layout": config.codec.layout,
            "marker": config.codec.marker,
            "vocabulary": codec.vocab_size,
            "tokens per canvas": codec.capacity,
        },
        "config": config.to_dict(),
    }

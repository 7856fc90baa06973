"""What a workdir holds, read from its metadata alone, and whether it is all as it was written."""

import math
from typing import Any

from etils import epath

from pixjax.checkpoints.published import open_checkpoints
from pixjax.checkpoints.run_files import CONFIG_FILE, damaged_files, read_run
from pixjax.errors import InputError


def describe(workdir: epath.Path) -> dict[str, Any]:
    """Steps, parameter counts, codec, config and versions as plain values, without loading an array.

    Raises `InputError` without a checkpoint.
    """
    config, codec = read_run(workdir)
    with open_checkpoints(workdir) as checkpoints:
        if not (steps := checkpoints.steps()):
            raise InputError(f"{workdir} has no checkpoint: train there first, or name another workdir")
        meta = checkpoints.meta(steps[-1])
    sizes: dict[str, int] = {}
    trees = meta["trees"]
    for name, kind in trees.get("params", next(iter(trees.values()))).items():  # an exported model has an average alone
        module, shape = name.split("/")[0], kind[kind.index("[") + 1 : -1]
        sizes[module] = sizes.get(module, 0) + math.prod(int(size) for size in shape.split(",") if size)
    return {
        "steps": steps,
        "parameters": sum(sizes.values()),
        "parameters_by_module": dict(sorted(sizes.items(), key=lambda item: -item[1])),
        "versions": meta["versions"],
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


def verify(workdir: epath.Path) -> dict[str, list[str]]:
    """The damages of each part of a workdir: its own files, and every checkpoint, of which every byte is read.

    Raises `InputError` where there is no workdir.
    """
    if not workdir.exists():
        raise InputError(f"{workdir} does not exist: give the --workdir of a training run")
    found = {CONFIG_FILE: damaged_files(workdir)}
    with open_checkpoints(workdir) as checkpoints:
        return found | {f"checkpoint {step}": checkpoints.verify(step) for step in checkpoints.steps()}

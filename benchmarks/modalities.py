"""What it saves that images leave out the layers for text: a mixed update against the same one of all rows together.

    python benchmarks/modalities.py [--config mixed_best --rounds 5]

Both updates start from the same state, see the same batch and take turns in one process. Prints how many times as many
updates a second there are, by the fastest round and by the processor time of all rounds, which other work disturbs
less; and the loss after these rounds, in which the two should differ by rounding alone. Wanted: 1.4 for `mixed_best` on
two CPU cores.
"""

import argparse
import dataclasses
import json
import time

import jax
import numpy as np

from pixjax import load_config
from pixjax.codec import CanvasCodec
from pixjax.data import make_batches
from pixjax.models.text_rows import ANY_ROW
from pixjax.runtime import keep_memory
from pixjax.training.optimizer import make_optimizer
from pixjax.training.rows import rows_by_order
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="mixed_best")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    keep_memory()
    config = load_config(args.config, {})
    codec = CanvasCodec(**config.codec_arguments())
    model, optimizer, rows = make_model(config, codec), make_optimizer(config.training), rows_by_order(config)
    ways = {"together": dataclasses.replace(rows, may_be_text=ANY_ROW), "apart": rows}
    steps = {
        name: jax.jit(make_train_step(config, codec, model, optimizer, rows=way), donate_argnums=0)
        for name, way in ways.items()
    }
    states = {name: jax.jit(lambda: init_state(config, model, optimizer))() for name in steps}
    with make_batches(config, codec) as batches:
        batch = {name: np.copy(value) for name, value in next(batches).items() if name not in ("skipped", "bad")}
    wall, processor, loss = ({name: [] for name in steps} for _ in range(3))
    for round_number in range(-2, args.rounds):  # two to compile, and to settle
        for name, step in steps.items():
            began, used = time.perf_counter(), time.process_time()
            states[name], metrics = jax.block_until_ready(step(states[name], batch))
            loss[name].append(float(metrics["loss"][0] / metrics["loss"][1]))
            if round_number >= 0:
                wall[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - used)
    print(
        json.dumps(
            {
                "updates_ratio": round(min(wall["together"]) / min(wall["apart"]), 3),
                "updates_ratio_by_processor_time": round(sum(processor["together"]) / sum(processor["apart"]), 3),
                "seconds": {name: round(min(times), 3) for name, times in wall.items()},
                "loss": {name: losses[-1] for name, losses in loss.items()},
                "device": jax.devices()[0].device_kind,
            }
            | vars(args)
        )
    )


if __name__ == "__main__":
    main()

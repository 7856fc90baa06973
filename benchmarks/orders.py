"""The cost of a decision order: updates and samples of text letter by letter, in blocks, and all at once.

    python benchmarks/orders.py [--config letters27_best --batch 16 --steps 50 --rounds 5]

Times one update of a batch under each order, and the sampling of a batch of canvases letter by letter against Heun's
sampler all at once, alternately in one process and with parameters that were not trained; prints ratios of the fastest
rounds. Wanted: an update letter by letter at most 1.1 of one all at once, in blocks of a patch or more (two streams)
2.1, and a batch written letter by letter in a quarter of the time of Heun's.
"""

import argparse
import json
import time

import jax
import numpy as np

from pixjax import load_config
from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.runtime import keep_memory
from pixjax.sampling.checks import require_possible
from pixjax.sampling.generate import generate
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_params, init_state, make_model
from pixjax.training.step import make_train_step


def updates(config: Config, codec: CanvasCodec):
    """A function that updates a state once, and goes on from it the next time."""
    model, optimizer = make_model(config, codec), make_optimizer(config.training)
    step = jax.jit(make_train_step(config, codec, model, optimizer), donate_argnums=0)
    state = init_state(config, model, optimizer)
    with make_batches(config, codec) as batches:
        batch = {name: np.copy(value) for name, value in next(batches).items() if name != "skipped"}

    def run() -> None:
        nonlocal state
        state, _ = step(state, batch)
        jax.block_until_ready(state)

    return run


def denoiser_of(config: Config, codec: CanvasCodec) -> Denoiser:
    """Untrained: what it makes does not matter."""
    model, mesh = make_model(config, codec), make_mesh(config.training.mesh)
    params = init_params(model, jax.random.key(0))
    return Denoiser(config=config, codec=codec, step=0, model=model, params=params, mesh=mesh, text_share=1.0)


def seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def fastest(contestants, rounds: int) -> dict[str, float]:
    """Whatever else the machine does only adds to it."""
    for run in contestants.values():
        run(), run()  # compile, and settle
    times = [{name: seconds(run) for name, run in contestants.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in times) for name in contestants}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="letters27_best")
    for name, value in (("batch", 16), ("steps", 50), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    keep_memory()

    def config_of(blocks: str) -> Config:
        changes = {"diffusion.blocks.text": blocks, "data.batch_size": args.batch, "sampling.batch_size": args.batch}
        return load_config(args.config, changes)

    codec = CanvasCodec(**config_of("whole").codec_arguments())
    of_update = fastest({blocks: updates(config_of(blocks), codec) for blocks in ("whole", "1", "8")}, args.rounds)
    model = denoiser_of(config_of("1:0.5,whole:0.5"), codec)
    how = {"letter by letter": {"blocks": {"text": "1"}}, "Heun": {"blocks": {"text": "whole"}, "sampler": "heun"}}
    settings = {name: require_possible(model, "text", steps=args.steps, **changes) for name, changes in how.items()}
    of_sample = fastest(
        {name: lambda of=of: generate(model, "text", args.batch, settings=of) for name, of in settings.items()},
        args.rounds,
    )
    print(
        json.dumps(
            {
                "update_ratio_to_whole": {n: round(s / of_update["whole"], 3) for n, s in of_update.items()},
                "sampling_ratio_to_heun": round(of_sample["letter by letter"] / of_sample["Heun"], 3),
                "seconds": {n: round(s, 3) for n, s in (of_update | of_sample).items()},
                "device": jax.devices()[0].device_kind,
            }
            | vars(args)
        )
    )


if __name__ == "__main__":
    main()

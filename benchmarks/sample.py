"""Sampling against the bare network: what the sampler, guidance and infilling add, and how often they compile.

    python benchmarks/sample.py [--width 384 --depth 6 --batch 16 --steps 20 --rounds 5]

Times `generate` with S Euler steps, everything included (noise, transfers, rounding), and S times one jitted forward
pass of the same batch, alternately in one process; prints the ratio of the fastest rounds, the same for guided
sampling against a forward pass of twice the batch, and how many programs prompts, seeds and strengths compiled.
"""

import argparse
import json
import time

import jax
import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, ModelConfig, SamplingConfig, TrainingConfig
from pixjax.models import denoise
from pixjax.runtime import keep_memory
from pixjax.sampling.checks import require_possible
from pixjax.sampling.generate import _sample, generate
from pixjax.sampling.infill import given_text
from pixjax.training.mesh import batch_sharding, make_mesh, replicated
from pixjax.training.state import init_params, make_model


def make_denoiser(args: argparse.Namespace) -> Denoiser:
    """Untrained: what it makes does not matter."""
    config = Config(
        model=ModelConfig(
            width=args.width,
            depth=args.depth,
            heads=args.heads,
            canvas_size=args.canvas,
            patch_size=str(args.patch),
            tagging="condition",
            text_condition=True,
            in_context_tokens=0,
            scan_layers=not args.unrolled,
        ),
        codec=CodecConfig(marker=False),
        data=DataConfig(),
        training=TrainingConfig(type_dropout=0.1),
        sampling=SamplingConfig(sampler="euler", steps=args.steps, batch_size=args.batch),
    )
    mesh = make_mesh(config.training.mesh)
    model = make_model(config)
    params = jax.device_put(jax.jit(lambda: init_params(model, jax.random.key(0)))(), replicated(mesh))
    codec = CanvasCodec(**config.codec_arguments())
    return Denoiser(config=config, codec=codec, step=0, model=model, params=params, mesh=mesh, text_share=0.5)


def forward_passes(denoiser: Denoiser, batch: int, steps: int):
    """A function that runs the network so often, each pass on what the one before it made."""
    size = denoiser.config.model.canvas_size
    inputs = (np.zeros((batch, size, size, 3), np.float32), np.full(batch, 0.5, np.float32), np.zeros(batch, np.int32))
    z, t, type_id = jax.device_put(inputs, batch_sharding(denoiser.mesh))
    forward = jax.jit(lambda params, z: denoise(denoiser.model, params, z, t, type_id))

    def run() -> None:
        x = z
        for _ in range(steps):
            x = forward(denoiser.params, x)
        x.block_until_ready()

    return run


def seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def programs(denoiser: Denoiser, num: int) -> int:
    """How many programs prompts, seeds and strengths compile."""
    _sample.clear_cache()
    for seed, template in enumerate(("a prompt", "another ____", "___ one more")):
        given, grid = given_text(denoiser.codec, template), {"text": ("uniform", "log_snr")[seed % 2]}
        settings = require_possible(denoiser, "text", given=given, guidance=1.5 + seed, grid=grid)
        generate(denoiser, "text", num, settings=settings, seed=seed, given=given)
    return _sample._cache_size()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("width", 384), ("depth", 6), ("heads", 6), ("patch", 4), ("canvas", 64), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unrolled", action="store_true", help="model.scan_layers=False")
    args = parser.parse_args()
    keep_memory()
    denoiser = make_denoiser(args)
    plain, guided = require_possible(denoiser, "text"), require_possible(denoiser, "text", guidance=2.0)
    contestants = {
        "forward": forward_passes(denoiser, args.batch, args.steps),
        "euler": lambda: generate(denoiser, "text", args.batch, settings=plain),
        "forward_of_twice": forward_passes(denoiser, 2 * args.batch, args.steps),
        "guided": lambda: generate(denoiser, "text", args.batch, settings=guided),
    }
    for run in contestants.values():
        run(), run()  # compile, and settle
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(args.rounds):
        for name, run in contestants.items():
            times[name].append(seconds(run))
    best = {name: min(values) for name, values in times.items()}  # whatever else the machine does only adds to it
    result = {
        "ratio_euler_to_forward": round(best["euler"] / best["forward"], 3),
        "ratio_guided_to_forward_of_twice": round(best["guided"] / best["forward_of_twice"], 3),
        "seconds": {name: round(value, 3) for name, value in best.items()},
        "device": jax.devices()[0].device_kind,
    }
    small = argparse.Namespace(**vars(args) | {"width": 48, "depth": 1, "heads": 4, "canvas": 16, "steps": 2})
    result["programs_of_prompts_seeds_and_strengths"] = programs(make_denoiser(small), 2)
    assert result["programs_of_prompts_seeds_and_strengths"] == 1
    print(json.dumps(result | vars(args)))


if __name__ == "__main__":
    main()

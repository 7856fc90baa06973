"""The parts of `accelerator.py`, each of which runs as a process of its own.

    python -m benchmarks.accelerator_parts mfu-S --result=FILE [--letters27=DIR] [--tiny]

The models are those of `mixed64_condition`, with its text head or without, and with the variants' sizes; they see
canvases of the demo's text and images. Times are those of the fastest of a few rounds.
"""

import argparse
import dataclasses
import datetime
import functools
import importlib.util
import json
import pathlib
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import train_step
from benchmarks.accelerator import FAILED, MEASURED
from benchmarks.orders import fastest
from pixjax import load_config
from pixjax.checkpoints.load import load
from pixjax.chips import chip_of, peak_flops
from pixjax.codec import TEXT, CanvasCodec
from pixjax.config import Attention, Config
from pixjax.data import make_batches
from pixjax.evaluation.held_out import read_canvases
from pixjax.evaluation.order_likelihood import evaluate_order
from pixjax.models.attention import attend
from pixjax.models.presets import resolve
from pixjax.planning.estimate import as_compiled_for
from pixjax.planning.footprint import compile_step
from pixjax.planning.target import find_target
from pixjax.runtime import keep_memory, use_compilation_cache
from pixjax.training.computation import update_flops
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import jit_train_step, place_batch, place_state
from pixjax.training.reporter import METRICS_FILE
from pixjax.training.state import TrainState, init_state, make_model
from pixjax.training.step import Batch, TrainStep, make_train_step
from pixjax.training.train import to_global, train

CANVASES = {"S": 256, "B": 128, "L": 64}  # on each device, at first: halved while they do not fit
ONLY_PIXELS = {
    "model.codebook_head": False, "model.codebook_input": False, "model.cell_layers": 0,
    "diffusion.blocks.text": "whole",
}  # fmt: skip
# A schedule that neither the length of a run nor its warm-up changes soon: the parts then share programs.
SCHEDULE = {"training.decay": "constant", "training.warmup_steps": 5}
TINY = {
    "model.depth": 1, "model.width": 16, "model.heads": 2, "model.bottleneck": 16, "model.in_context_tokens": 0,
    "model.canvas_size": 16, "model.scan_layers": False, "training.optimizer": "adamw",
}  # fmt: skip
TINY_TEXT = {"model.cell_layers": 0, "diffusion.blocks.text": "1"}
WAITING = 0.01  # the goal of the loader

Flags = dict[str, Any]  # a change of a config by its dotted key


class NotPossible(Exception):
    """What it needs is not on this machine."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    tiny: bool
    letters27: str = ""

    def few(self, many: int, few: int) -> int:
        return few if self.tiny else many

    def config(self, size: str, changes: Flags | None = None, *, text_head: bool = True, canvases: int = 0) -> Config:
        """Of a variant, with so many canvases on each device; 0 is as many as are tried first."""
        flags: Flags = {"model.variant": size} | SCHEDULE
        flags["data.batch_size"] = jax.device_count() * (16 if self.tiny else canvases or CANVASES[size])
        flags |= {} if text_head else ONLY_PIXELS
        flags |= (TINY | (TINY_TEXT if text_head else {})) if self.tiny else {}
        return load_config("mixed64_condition", flags | (changes or {}))


def start(config: Config) -> tuple[TrainStep, TrainState, Batch]:
    """The step, the state and the first batch of a run, on all devices as `pixjax train` has them."""
    codec, mesh = CanvasCodec(**config.codec_arguments()), make_mesh(config.training.mesh)
    model, optimizer = make_model(config, codec), make_optimizer(config.training)
    like, fields = place_state(config, model, optimizer, mesh), place_batch(config, mesh)
    shardings = jax.tree.map(lambda x: x.sharding, like)
    state = jax.jit(lambda: init_state(config, model, optimizer), out_shardings=shardings)()
    with make_batches(config, codec) as batches:
        read = next(batches)
    step = jit_train_step(make_train_step(config, codec, model, optimizer), like, mesh)
    return step, state, {name: to_global(read[name], mesh) for name in fields}


def loss_of(metrics: dict[str, jax.Array]) -> float:
    total, count = metrics["loss"]
    return float(total / count)


def updates(config: Config, number: int) -> Callable[[], float]:
    """A function that makes so many updates of one batch, going on where it was, and returns the loss of the last."""
    step, state, batch = start(config)

    def run() -> float:
        nonlocal state
        for _ in range(number):
            state, metrics = step(state, batch)
        jax.block_until_ready(state)
        return loss_of(metrics)

    return run


def measure_precision(settings: Settings) -> dict[str, Any]:
    """At every step of a run in float32, what the same step says of the loss in bfloat16."""
    configs = {dtype: settings.config("S", {"model.dtype": dtype}, canvases=64) for dtype in ("float32", "bfloat16")}
    exact, state, batch = start(configs["float32"])
    rounded = start(configs["bfloat16"])[0]
    losses = []
    for _ in range(settings.few(50, 3)):
        copy = jax.tree.map(jnp.copy, state)  # a step gives its state up
        of_rounded = rounded(copy, batch)[1]
        state, of_exact = exact(state, batch)
        losses.append((loss_of(of_exact), loss_of(of_rounded)))
    float32, bfloat16 = np.array(losses).T
    difference = np.abs(bfloat16 - float32) / np.abs(float32)
    return {
        "steps": len(losses),
        "largest": float(difference.max()),
        "median": float(np.median(difference)),
        "float32": float32.tolist(),
        "bfloat16": bfloat16.tolist(),
    }


def measure_attention(settings: Settings, other: Attention = "cudnn") -> dict[str, Any]:
    if other == "cudnn" and jax.default_backend() != "gpu":
        raise NotPossible(f"model.attention=cudnn is for NVIDIA GPUs, and jax computes on {jax.default_backend()}")
    number = settings.few(10, 1)
    configs = {
        name: settings.config("B", {"model.dtype": "bfloat16", "model.attention": name}, text_head=False, canvases=64)
        for name in ("xla", other)
    }
    runs = {name: updates(config, number) for name, config in configs.items()}
    seconds = fastest(runs, settings.few(5, 1))
    losses = {name: run() for name, run in runs.items()}  # of one and the same step
    model = resolve(configs["xla"].model)
    tokens = model.grid[0] * model.grid[1] + model.in_context_tokens
    q, k, v = jax.random.normal(jax.random.key(0), (3, 8, tokens, model.heads, model.head_width), jnp.bfloat16)
    mine, theirs = (np.asarray(jax.jit(attend, static_argnums=3)(q, k, v, name), np.float32) for name in configs)
    return {
        "step_ratio": seconds["xla"] / seconds[other],
        "difference": float(np.linalg.norm(mine - theirs) / np.linalg.norm(mine)),
        "seconds": {name: value / number for name, value in seconds.items()},
        "loss": losses,
        "tokens": tokens,
    }


def measure_mfu(size: str, settings: Settings) -> dict[str, Any]:
    return {name: _use(settings, size, text_head) for name, text_head in (("pixels", False), ("text head", True))}


def _use(settings: Settings, size: str, text_head: bool) -> dict[str, Any]:
    """With half the canvases, and half of these again, while they do not fit."""
    canvases, number = CANVASES[size], settings.few(10, 1)
    while True:
        config = settings.config(size, text_head=text_head, canvases=canvases)
        try:
            seconds = fastest({"": updates(config, number)}, settings.few(5, 1))[""] / number
            break
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or canvases == 1:
                raise
        canvases //= 2
    devices = make_mesh(config.training.mesh).size
    rate, peak = update_flops(config, make_model(config), devices) / seconds, peak_flops(jax.devices()[0].device_kind)
    return {
        "canvases": config.data.batch_size,
        "seconds": seconds,
        "canvases_per_second": config.data.batch_size / seconds,
        "flops_per_second": rate,
        "mfu": rate / (peak * devices) if peak else None,
    }


def measure_torch(settings: Settings) -> dict[str, Any]:
    """The contest of `train_step.py`, whose processes share the GPU: this one takes no memory of it before."""
    if importlib.util.find_spec("torch") is None:
        raise NotPossible("PyTorch is not installed")
    import torch

    if not torch.cuda.is_available():
        raise NotPossible("PyTorch has no CUDA here")
    options = ["--dtype=bfloat16", "--width=768", "--depth=12", "--heads=12", "--batch=128"]
    options += ["--heun-steps=10", "--rounds=5"]
    if settings.tiny:
        options = ["--dtype=bfloat16", "--width=32", "--depth=1", "--heads=2", "--batch=8", "--canvas=16"]
        options += ["--heun-steps=1", "--rounds=1"]
    result = train_step.compare(train_step.make_parser().parse_args(options))
    ratios = {
        job: result[f"{job}_seconds"]["torch.compile"] / result[f"{job}_seconds"]["pixjax"]
        for job in ("step", "sample")
    }
    return result | ratios


def measure_loader(settings: Settings) -> dict[str, Any]:
    """What `pixjax train` reports, without the first window, in which it compiles; with workers where it waits."""
    windows, steps = 4, settings.few(50, 2)
    shares, rates = {}, {}
    for workers in (0, 4):
        changes = {"training.steps": windows * steps, "training.checkpoint_every": windows * steps}
        config = settings.config("S", changes | {"training.log_every": steps, "data.workers": workers})
        with tempfile.TemporaryDirectory() as workdir:
            train(config, workdir)
            lines = [json.loads(line) for line in (pathlib.Path(workdir) / METRICS_FILE).read_text().splitlines()]
        shares[workers] = float(np.mean([line["data/wait_share"] for line in lines[1:]]))
        rates[workers] = float(np.mean([line["canvases_per_second"] for line in lines[1:]]))
        if shares[workers] < WAITING or settings.tiny:
            break
    return {"wait_share": shares, "canvases_per_second": rates}


def measure_memory(settings: Settings) -> dict[str, Any]:
    peak_bytes()  # or it is not possible, before anything is compiled
    config = settings.config("S")
    updates(config, 2)()
    return {
        "peak_bytes": peak_bytes(),
        "estimated_bytes": estimated_bytes(settings),
        "canvases": config.data.batch_size // jax.device_count(),
    }


def peak_bytes() -> int:
    """The most that was in use on the first device since this process began."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" not in stats:
        raise NotPossible(f"jax does not tell the memory in use of a {jax.default_backend()}")
    return int(stats["peak_bytes_in_use"])


def estimated_bytes(settings: Settings) -> int:
    """What `pixjax estimate` says of such a step on one device of this kind."""
    chip = chip_of(jax.devices()[0].device_kind)
    config = as_compiled_for(settings.config("S"), chip)
    canvases = config.data.batch_size // jax.device_count()
    footprint = compile_step(config, find_target(chip, 1, libtpu=False), (1, 1, 1), canvases)
    assert footprint is not None  # a compiler for CPUs finds room
    return footprint.total


def measure_letters27(settings: Settings) -> dict[str, Any]:
    """As many steps of the config as take three minutes, and the exact bits letter by letter of test canvases."""
    if not settings.letters27:
        raise NotPossible("--letters27 was not given")
    folder = pathlib.Path(settings.letters27)
    flags: Flags = {"data.sources": (f"text:{folder / 'train.txt.gz'}",)}
    flags |= TINY | TINY_TEXT | {"data.batch_size": 8} if settings.tiny else {}
    config = load_config("letters27_best", flags)
    number = settings.few(50, 2)
    steps = round(settings.few(180, 1) / (fastest({"": updates(config, number)}, 2)[""] / number))
    as_long = {"training.steps": steps, "training.warmup_steps": steps // 16, "training.checkpoint_every": steps}
    config = load_config("letters27_best", flags | as_long)
    read = functools.partial(read_canvases, config, CanvasCodec(**config.codec_arguments()), modality=TEXT)
    with tempfile.TemporaryDirectory() as workdir:
        began = time.monotonic()
        train(config, workdir)
        seconds = time.monotonic() - began
        sets = [
            read([f"text:{folder / name}.txt.gz"], num=settings.few(number, 4))
            for name, number in (("test", 400), ("valid", 100))
        ]
        test, validation = ((s.canvases, s.mask) for s in sets if s is not None)
        figures = evaluate_order(load(workdir), test, "1", validation=validation)
    kept = ("bits_per_char", "bits_per_char_stderr")
    return {name: figures[name] for name in kept} | {"steps": steps, "train_seconds": seconds, "canvases": len(test[0])}


PARTS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "precision": measure_precision,
    "attention": measure_attention,
    **{f"mfu-{size}": functools.partial(measure_mfu, size) for size in CANVASES},
    "torch": measure_torch,
    "loader": measure_loader,
    "memory": measure_memory,
    "letters27": measure_letters27,
}


def record(name: str, settings: Settings) -> dict[str, Any]:
    """What a part has found, or why not, in one line."""
    began = time.monotonic()
    try:
        found = {"status": MEASURED, "figures": PARTS[name](settings)}
    except NotPossible as reason:
        return {"status": "not possible here", "why": str(reason)}
    except Exception as error:  # whatever a device, its libraries or its memory do wrong stays in this part
        traceback.print_exc()
        found = {"status": FAILED, "why": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    return found | {
        "seconds": round(time.monotonic() - began, 1),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "jax": jax.__version__,
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--result", required=True, metavar="FILE", help="what was found is written there as JSON")
    parser.add_argument("--letters27", default="", metavar="DIR")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    keep_memory()
    use_compilation_cache()
    found = record(args.part, Settings(tiny=args.tiny, letters27=args.letters27))
    pathlib.Path(args.result).write_text(json.dumps(found))


if __name__ == "__main__":
    main()

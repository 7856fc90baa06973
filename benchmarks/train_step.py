"""Speed of a training step and of sampling, as ratios to a PyTorch twin of the same architecture in the same run.

    pip install torch
    python benchmarks/train_step.py [--width 384 --depth 6 --heads 6 --patch 4 --canvas 64 --batch 16 --dtype float32]

A step is forward, backward, clipping and AdamW on the same shapes and the same dtype; PyTorch runs eager and under
`torch.compile`, with its fused AdamW. Sampling is Heun, two evaluations a step. Every contestant is a process of its
own, so that neither's threads and memory disturb the other, and they take turns; on a CPU all keep the memory they
were given, as `pixjax train` does. A ratio above 1 says that pixjax is faster than the better PyTorch.
"""

import argparse
import importlib.util
import json
import math
import multiprocessing
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pixjax.chips import peak_flops
from pixjax.config import ModelConfig
from pixjax.models import JiT, denoise
from pixjax.models.flops import training_flops
from pixjax.runtime import keep_memory


def model_config(args: argparse.Namespace) -> ModelConfig:
    return ModelConfig(
        variant="S",
        width=args.width,
        depth=args.depth,
        heads=args.heads,
        patch_size=str(args.patch),
        canvas_size=args.canvas,
        tagging="none",
        in_context_tokens=0,
        bottleneck=128,
        dtype=args.dtype,
        scan_layers=jax.default_backend() != "cpu",
    )


def make_pixjax(args: argparse.Namespace):
    model = JiT(model_config(args))
    shape = (args.batch, args.canvas, args.canvas, 3)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, b2=0.95, weight_decay=0.0))

    @jax.jit
    def init(key):
        params = model.init(key, jnp.zeros((1, *shape[1:])), jnp.zeros(1))["params"]
        return params, optimizer.init(params), jnp.zeros((), jnp.int32)

    def update(state, x):
        params, moments, step = state

        def loss(params):
            time_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(0), step))
            t = jax.nn.sigmoid(jax.random.normal(time_key, (args.batch,)) * 0.8 - 0.8)
            t4 = t[:, None, None, None]
            z = t4 * x + (1 - t4) * jax.random.normal(noise_key, shape)
            return jnp.mean(jnp.square((denoise(model, params, z, t) - x) / jnp.maximum(1 - t4, 0.05)))

        value, grads = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(grads, moments, params)
        return (optax.apply_updates(params, updates), moments, step + 1), value

    update = jax.jit(update, donate_argnums=0)
    state = init(jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, shape), jnp.float32)

    def step():
        nonlocal state
        state, value = update(state, x)
        return float(value)

    times = jnp.linspace(0.0, 1.0, args.heun_steps + 1)

    @jax.jit
    def generate(params, z):
        def velocity(z, t):
            return (denoise(model, params, z, jnp.full(args.batch, t)) - z) / jnp.maximum(1 - t, 0.05)

        def heun(z, ends):
            t, t_next = ends
            slope = velocity(z, t)
            return z + (t_next - t) * (slope + velocity(z + (t_next - t) * slope, t_next)) / 2, None

        return jax.lax.scan(heun, z, (times[:-1], times[1:]))[0]

    def sample():
        return float(generate(state[0], x)[0, 0, 0, 0])

    return step, sample


def make_torch(args: argparse.Namespace, compiled: bool):
    import torch
    from torch import nn
    from torch.nn import functional

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, args.dtype)
    grid, width, heads = args.canvas // args.patch, args.width, args.heads
    head_width, hidden = width // heads, int(4 * width * 2 / 3)
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    frequencies = 1e4 ** (-torch.arange(0, head_width // 2, 2) / (head_width // 2))
    angles = torch.cat([row.reshape(-1, 1) * frequencies, column.reshape(-1, 1) * frequencies], dim=-1).to(device)
    cos, sin = angles.cos(), angles.sin()

    def rotate(x):  # [batch, heads, tokens, head_width]
        first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
            self.q_norm, self.k_norm = nn.RMSNorm(head_width, eps=1e-6), nn.RMSNorm(head_width, eps=1e-6)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.w12, self.w3 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)
            self.modulation = nn.Linear(width, 6 * width)

        def forward(self, x, c):
            shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(c)[:, None].chunk(6, dim=-1)
            h = self.norm1(x) * (1 + scale_a) + shift_a
            q, k, v = self.qkv(h).unflatten(-1, (3, heads, head_width)).permute(2, 0, 3, 1, 4)
            q, k = rotate(self.q_norm(q)).to(v.dtype), rotate(self.k_norm(k)).to(v.dtype)
            h = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
            x = x + gate_a * self.proj(h)
            gate, value = self.w12(self.norm2(x) * (1 + scale_m) + shift_m).chunk(2, dim=-1)
            return x + gate_m * self.w3(functional.silu(gate) * value)

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            values = args.patch * args.patch * 3
            self.embed_in, self.embed_out = nn.Linear(values, 128, bias=False), nn.Linear(128, width)
            self.position = nn.Parameter(torch.zeros(grid * grid, width), requires_grad=False)
            self.time_in, self.time_out = nn.Linear(256, width), nn.Linear(width, width)
            self.blocks = nn.ModuleList(Block() for _ in range(args.depth))
            self.norm, self.out = nn.RMSNorm(width, eps=1e-6), nn.Linear(width, values)
            self.modulation = nn.Linear(width, 2 * width)

        def forward(self, z, t):
            frequencies = torch.exp(-math.log(1e4) * torch.arange(128, device=z.device) / 128)
            angles = t[:, None] * frequencies
            c = self.time_out(functional.silu(self.time_in(torch.cat([angles.cos(), angles.sin()], dim=-1))))
            c = functional.silu(c)
            patches = z.unflatten(1, (grid, args.patch)).unflatten(3, (grid, args.patch)).transpose(2, 3).flatten(3)
            x = self.embed_out(self.embed_in(patches.flatten(1, 2))) + self.position
            for block in self.blocks:
                x = block(x, c)
            shift, scale = self.modulation(c)[:, None].chunk(2, dim=-1)
            x = self.out(self.norm(x) * (1 + scale) + shift).unflatten(1, (grid, grid))
            return x.unflatten(-1, (args.patch, args.patch, 3)).transpose(2, 3).reshape(z.shape)

    torch.manual_seed(0)
    shape = (args.batch, args.canvas, args.canvas, 3)
    x = torch.rand(shape, device=device) * 2 - 1

    model = Twin().to(device)
    forward = torch.compile(model) if compiled else model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    def autocast():
        return torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)

    def step():
        t = torch.sigmoid(torch.randn(args.batch, device=device) * 0.8 - 0.8)
        t4 = t[:, None, None, None]
        z = t4 * x + (1 - t4) * torch.randn(shape, device=device)
        with autocast():
            x_hat = forward(z, t).float()
        loss = ((x_hat - x) / (1 - t4).clamp_min(0.05)).square().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def velocity(z, t):
        with autocast():
            return (forward(z, torch.full((args.batch,), t, device=device)).float() - z) / max(1 - t, 0.05)

    @torch.no_grad()
    def sample():
        z = x
        for index in range(args.heun_steps):
            t, t_next = index / args.heun_steps, (index + 1) / args.heun_steps
            slope = velocity(z, t)
            z = z + (t_next - t) * (slope + velocity(z + (t_next - t) * slope, t_next)) / 2
        return z[0, 0, 0, 0].item()

    return step, sample


MAKERS = {
    "pixjax": make_pixjax,
    "torch eager": lambda args: make_torch(args, compiled=False),
    "torch.compile": lambda args: make_torch(args, compiled=True),
}


def contestant(name: str, args: argparse.Namespace, pipe) -> None:
    """Runs a step or a sampling whenever it is told to, and answers with the seconds it took."""
    keep_memory()
    jobs = dict(zip(("step", "sample"), MAKERS[name](args), strict=True))
    for job in iter(pipe.recv, None):
        began = time.perf_counter()
        jobs[job]()
        pipe.send(time.perf_counter() - began)


def mfu(args: argparse.Namespace, seconds: float) -> float | None:
    peak = peak_flops(jax.devices()[0].device_kind)
    return round(training_flops(model_config(args)) * args.batch / seconds / peak, 3) if peak else None


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("width", 384), ("depth", 6), ("heads", 6), ("patch", 4), ("canvas", 64), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--heun-steps", type=int, default=0, help="also time sampling, with so many steps")
    return parser


def compare(args: argparse.Namespace) -> dict:
    """The seconds of every contestant, and their ratios. Raises `RuntimeError` where one of them ends by itself."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the contestants share one GPU
    spawn = multiprocessing.get_context("spawn")
    pipes = {}
    for name in MAKERS:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=contestant, args=(name, args, theirs), daemon=True).start()
        theirs.close()  # or nobody would hear that it has ended

    def run(name: str, job: str) -> float:
        try:
            pipes[name].send(job)
            return pipes[name].recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{name} ended by itself: what it said stands above") from None

    result: dict = {}
    for job, rounds in (("step", args.rounds), ("sample", 3 if args.heun_steps else 0)):
        if not rounds:
            continue
        for name in pipes:
            run(name, job), run(name, job)  # compile, and settle
        seconds = {name: [] for name in pipes}
        for _ in range(rounds):
            for name in pipes:
                seconds[name].append(run(name, job))
        median = {name: float(np.median(times)) for name, times in seconds.items()}
        result[f"{job}_seconds"] = {name: round(value, 4) for name, value in median.items()}
        best = min(value for name, value in median.items() if name != "pixjax")
        result[f"{job}_ratio_to_better_torch"] = round(best / median["pixjax"], 3)
        if job == "step":
            result["mfu"] = mfu(args, median["pixjax"])
    for pipe in pipes.values():
        pipe.send(None)
    return result | vars(args)


def main() -> None:
    parser = make_parser()
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        parser.error("PyTorch, which a step is compared with, is not installed: pip install torch")
    print(json.dumps(compare(args)))


if __name__ == "__main__":
    main()

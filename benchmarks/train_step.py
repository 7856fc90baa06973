"""Speed of a training step, as a ratio to a PyTorch twin of the same architecture in the same run.

    pip install torch
    python benchmarks/train_step.py [--width 384 --depth 6 --heads 6 --patch 4 --canvas 64 --batch 16 --dtype float32]

Both run forward, backward, clipping and AdamW on the same shapes and the same dtype, alternately; PyTorch eager
and under `torch.compile`, with its fused AdamW. A ratio above 1 says that pixjax is faster than the better PyTorch.
"""

import argparse
import json
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from pixjax.config import ModelConfig
from pixjax.models import JiT, architecture, denoise
from pixjax.models.flops import peak_flops, training_flops


def make_pixjax_step(args: argparse.Namespace):
    config = ModelConfig(
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
    )
    model = JiT(architecture(config))
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

    return step, model.arch


def make_torch_steps(args: argparse.Namespace):
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

    def make(compiled: bool):
        model = Twin().to(device)
        forward = torch.compile(model) if compiled else model
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

        def step():
            t = torch.sigmoid(torch.randn(args.batch, device=device) * 0.8 - 0.8)
            t4 = t[:, None, None, None]
            z = t4 * x + (1 - t4) * torch.randn(shape, device=device)
            with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
                x_hat = forward(z, t).float()
            loss = ((x_hat - x) / (1 - t4).clamp_min(0.05)).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.item()

        return step

    return {"torch eager": make(False), "torch.compile": make(True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("width", 384), ("depth", 6), ("heads", 6), ("patch", 4), ("canvas", 64), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    ours, arch = make_pixjax_step(args)
    steps = {"pixjax": ours, **make_torch_steps(args)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step(), step()  # compile, and settle
    for _ in range(args.rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    result = {"seconds_per_step": {name: round(value, 4) for name, value in median.items()}}
    result["ratio_to_better_torch"] = round(min(v for n, v in median.items() if n != "pixjax") / median["pixjax"], 3)
    if peak := peak_flops(jax.devices()[0].device_kind):
        result["mfu"] = round(training_flops(arch) * args.batch / median["pixjax"] / peak, 3)
    print(json.dumps(result | vars(args)))


if __name__ == "__main__":
    main()

"""JiT (arXiv 2511.13720) in PyTorch, written from the paper, to compare ours with: slow, plain, on a CPU.

Run as a script it renews `golden_jit.npz`: random weights in every tensor, inputs, and what this network makes of them.
"""

import math
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

GOLDEN = pathlib.Path(__file__).with_name("golden_jit.npz")
SIZES = {"size": 16, "patch": 4, "width": 16, "depth": 3, "heads": 2, "bottleneck": 6}
CONDITIONAL = SIZES | {"classes": 3, "in_context": 5, "start": 1}


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x):
        return self.weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def rotary(size, head_width, in_context):
    """One complex number for each token and pair of channels: a quarter of the channels turns with the row."""
    quarter = head_width // 4
    turns = torch.tensor([1e4 ** (-i / quarter) for i in range(quarter)])
    places = [torch.cat([row * turns, column * turns]) for row in range(size) for column in range(size)]
    angles = torch.stack([torch.zeros(2 * quarter)] * in_context + places)
    return torch.polar(torch.ones_like(angles), angles)


def turn(x, rotation):  # x: [batch, heads, tokens, channels]
    as_complex = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(as_complex * rotation).flatten(-2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm, self.k_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.proj = nn.Linear(width, width)

    def forward(self, x, rotation):
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        q, k = turn(self.q_norm(q), rotation), turn(self.k_norm(k), rotation)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    def __init__(self, width):
        super().__init__()
        hidden = int(2 / 3 * 4 * width)
        self.w12, self.w3 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x):
        gate, value = self.w12(x).chunk(2, -1)
        return self.w3(F.silu(gate) * value)


def modulation(width, parts):
    return nn.Sequential(nn.SiLU(), nn.Linear(width, parts * width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(width), RMSNorm(width)
        self.attn, self.mlp = Attention(width, heads), SwiGLU(width)
        self.adaLN_modulation = modulation(width, 6)

    def forward(self, x, c, rotation):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(c)[:, None].chunk(6, -1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, rotation)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class FinalLayer(nn.Module):
    def __init__(self, width, values):
        super().__init__()
        self.norm_final, self.linear = RMSNorm(width), nn.Linear(width, values)
        self.adaLN_modulation = modulation(width, 2)

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c)[:, None].chunk(2, -1)
        return self.linear(self.norm_final(x) * (1 + scale) + shift)


class PatchEmbedding(nn.Module):
    def __init__(self, patch, bottleneck, width):
        super().__init__()
        self.proj1 = nn.Conv2d(3, bottleneck, patch, stride=patch, bias=False)
        self.proj2 = nn.Conv2d(bottleneck, width, 1)

    def forward(self, image):
        return self.proj2(self.proj1(image)).flatten(2).transpose(1, 2)


class TimeEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t):
        angles = t[:, None] * torch.tensor([math.exp(-math.log(1e4) * i / 128) for i in range(128)])
        return self.mlp(torch.cat([angles.cos(), angles.sin()], -1))


class ClassEmbedding(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, width)  # the last is "no class"


def positions(size, width):
    """[1, size², width]: for each patch sines and cosines of its column, then of its row."""

    def waves(place):
        angles = [place / 1e4 ** (i / (width // 4)) for i in range(width // 4)]
        return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]

    return torch.tensor([[waves(column) + waves(row) for row in range(size) for column in range(size)]])


class JiT(nn.Module):
    """Takes images [batch, 3, size, size], t [batch] and class numbers; `classes=0` is the unconditional network."""

    def __init__(self, *, size, patch, width, depth, heads, bottleneck, classes=0, in_context=0, start=0):
        super().__init__()
        self.patch, self.grid, self.start, self.in_context = patch, size // patch, start, in_context
        self.x_embedder = PatchEmbedding(patch, bottleneck, width)
        self.t_embedder = TimeEmbedding(width)
        self.y_embedder = ClassEmbedding(classes, width) if classes else None
        self.pos_embed = nn.Parameter(positions(self.grid, width), requires_grad=False)
        if in_context:
            self.in_context_posemb = nn.Parameter(torch.empty(1, in_context, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.final_layer = FinalLayer(width, 3 * patch**2)
        self.head_width = width // heads

    def forward(self, image, t, label=None):
        y = 0 if self.y_embedder is None else self.y_embedder.embedding_table(label)
        c = self.t_embedder(t) + y
        x = self.x_embedder(image) + self.pos_embed
        in_context = 0
        for i, block in enumerate(self.blocks):
            if self.in_context and i == self.start:
                in_context = self.in_context
                x = torch.cat([y[:, None].expand(-1, in_context, -1) + self.in_context_posemb, x], 1)
            x = block(x, c, rotary(self.grid, self.head_width, in_context))
        x = self.final_layer(x[:, in_context:], c)
        x = x.unflatten(2, (self.patch, self.patch, 3)).unflatten(1, (self.grid, self.grid))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)  # rows, rows of a patch, columns, columns of one


def random_jit(seed, **sizes):
    """Every tensor but the frozen positions is random, those that training starts at zero too; exact in float16."""
    generator = torch.Generator().manual_seed(seed)
    network = JiT(**sizes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name != "pos_embed":
                one = 1.0 if "norm" in name else 0.0
                parameter.copy_((one + 0.2 * torch.randn(parameter.shape, generator=generator)).half())
    return network.eval()


def random_inputs(seed, *, size, classes, batch=3):
    """Canvases [batch, size, size, 3], times, and class numbers of which the last means no class."""
    random = np.random.default_rng(seed)
    z = random.standard_normal((batch, size, size, 3)).astype(np.float32)
    t = random.uniform(0.05, 0.95, batch).astype(np.float32)
    return z, t, np.append(random.integers(0, max(classes, 1), batch - 1), classes).astype(np.int32)


@torch.no_grad()
def run(network, z, t, label):
    """The network on canvases with channels last, as NumPy arrays."""
    image = torch.from_numpy(z).permute(0, 3, 1, 2)
    return network(image, torch.from_numpy(t), torch.from_numpy(label).long()).permute(0, 2, 3, 1).numpy()


def state_dict(network):
    """As JiT's training code saves it."""
    return {f"net.{name}": tensor.detach().numpy() for name, tensor in network.state_dict().items()}


def write_golden(path):
    stored = {}
    for kind, sizes in (("conditional", CONDITIONAL), ("unconditional", SIZES)):
        network = random_jit(0, **sizes)
        inputs = random_inputs(1, size=sizes["size"], classes=sizes.get("classes", 0))
        for name, array in zip(("z", "t", "label"), inputs, strict=True):
            stored[f"{kind}/{name}"] = array
        stored[f"{kind}/x_hat"] = run(network, *inputs)
        for name, array in state_dict(network).items():
            exact = name == "net.pos_embed"
            stored[f"{kind}/{name}"] = array if exact else array.astype(np.float16)
    np.savez_compressed(path, **stored)


if __name__ == "__main__":
    write_golden(sys.argv[1] if len(sys.argv) > 1 else GOLDEN)

"""How a step is split over devices that share layers: few messages, of the right kind, and the same numbers."""

import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np

from pixjax.config import MeshConfig, ModelConfig
from pixjax.models import JiT, architecture, denoise
from pixjax.planning.target import run_on_fake_cpus
from pixjax.training.mesh import batch_sharding, make_mesh, replicated, state_shardings

KINDS = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"
MODEL = ModelConfig(
    variant="Ti", canvas_size=16, patch_size="4", depth=2, width=48, heads=2, in_context_tokens=0,
    tagging="marker", dtype="float32", attention="xla",
)  # fmt: skip


def split_gradient() -> tuple[Counter, Counter, float]:
    """On a mesh (2, 1, 2): messages within a block, forwards and backwards, those beside, and how far gradients are
    off.
    """
    mesh, model = make_mesh(MeshConfig(data=2, fsdp=1, tensor=2)), JiT(architecture(MODEL))
    z, t = jax.random.normal(jax.random.key(1), (4, 16, 16, 3)), jnp.linspace(0.1, 0.9, 4)
    shapes = jax.eval_shape(model.init, jax.random.key(0), z, t)["params"]
    params = jax.tree.map(
        lambda x: jnp.asarray(0.2 * np.random.default_rng(0).standard_normal(x.shape), jnp.float32), shapes
    )

    def loss(params, z, t):
        return jnp.mean(jnp.square(denoise(model, params, z, t)))

    def on_mesh(params, z, t):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return jax.grad(loss)(params, z, t)

    layout = state_shardings(mesh, shapes)
    inputs = layout, batch_sharding(mesh), batch_sharding(mesh)
    compiled = jax.jit(on_mesh, in_shardings=inputs, out_shardings=layout).lower(params, z, t).compile()
    messages = [
        (re.search(rf" ({KINDS})(-start)?\(", line), "blocks/" in line)
        for line in compiled.as_text().splitlines()
        if re.search(rf" = .* ({KINDS})(-start)?\(", line)
    ]
    within, beside = (
        Counter(kind[1] for kind, is_in in messages if kind and is_in is where) for where in (True, False)
    )
    gradient = compiled(*map(jax.device_put, (params, z, t), inputs))
    alone = jax.jit(jax.grad(loss))(params, z, t)
    gradient = jax.device_put(gradient, replicated(mesh))
    off = jax.tree.map(lambda x, y: float(np.abs(np.asarray(x) - y).max() / np.abs(y).max()), gradient, alone)
    return within, beside, max(jax.tree.leaves(off))


def test_blocks_send_sums_and_their_fused_matrices_and_nothing_else():
    within, beside, off = run_on_fake_cpus(4, split_gradient)
    # A sum after attention and one after SwiGLU, the same two backwards, that of the modulation's gradient, and that of
    # all gradients over the replicas.
    assert within["all-reduce"] <= 6
    assert within["all-to-all"] <= 4  # qkv and w12 are laid out by part, and their gradients back
    assert within["all-gather"] <= 3  # the modulation, and the gradients of two biases
    assert within.total() <= 13
    assert (within + beside)["collective-permute"] == 0
    assert beside.total() <= 5
    assert off < 1e-4

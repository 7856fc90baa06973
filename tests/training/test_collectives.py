"""How a step is split over devices that share layers: few messages, of the right kind, and the same numbers."""

import dataclasses
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np

from pixjax.codec import CanvasCodec
from pixjax.config import Config, MeshConfig, ModelConfig
from pixjax.models import JiT, denoise
from pixjax.planning.messages import Mesh, Message, read_messages
from pixjax.planning.target import run_on_fake_cpus
from pixjax.training.mesh import batch_sharding, make_mesh, replicated, state_shardings
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import jit_train_step, place_batch, place_state
from pixjax.training.state import make_model
from pixjax.training.step import make_train_step

MODEL = ModelConfig(
    variant="Ti", canvas_size=16, patch_size="4", depth=2, width=48, heads=2, in_context_tokens=0,
    tagging="marker", dtype="float32", attention="xla",
)  # fmt: skip


def read_all_messages(text: str, mesh: Mesh) -> tuple[Message, ...]:
    """None is left out, whatever the reader makes of it."""
    messages = read_messages(text, mesh)
    kinds = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
    assert len(messages) == len(re.findall(rf" (?:{kinds})(?:-start)?\(", text))
    return messages


def split_gradient(shape: Mesh) -> tuple[tuple[Message, ...], float]:
    """On a mesh (data, fsdp, tensor): the messages, and how far gradients are off."""
    mesh, model = make_mesh(MeshConfig(data=shape[0], fsdp=shape[1], tensor=shape[2])), JiT(MODEL)
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

    layout = state_shardings(mesh, model, shapes)
    inputs = layout, batch_sharding(mesh), batch_sharding(mesh)
    compiled = jax.jit(on_mesh, in_shardings=inputs, out_shardings=layout).lower(params, z, t).compile()
    messages = read_all_messages(compiled.as_text(), shape)
    gradient = compiled(*map(jax.device_put, (params, z, t), inputs))
    alone = jax.jit(jax.grad(loss))(params, z, t)
    gradient = jax.device_put(gradient, replicated(mesh))
    off = jax.tree.map(lambda x, y: float(np.abs(np.asarray(x) - y).max() / np.abs(y).max()), gradient, alone)
    return messages, max(jax.tree.leaves(off))


def split_gradients() -> tuple:
    return split_gradient((2, 1, 2)), split_gradient((1, 2, 2))


def test_blocks_send_sums_and_their_fused_matrices_and_nothing_else():
    (messages, off), (messages_with_fsdp, off_with_fsdp) = run_on_fake_cpus(4, split_gradients)
    within, beside = (
        Counter(message.kind for message in messages if ("blocks/" in message.operation) is is_in)
        for is_in in (True, False)
    )
    # A sum after attention and one after SwiGLU, the same two backwards, that of what a layer's devices say together of
    # the condition, norms and biases, and those of gradients over the replicas: of biases first.
    assert within["all-reduce"] <= 7
    assert within["all-to-all"] <= 4  # qkv and w12 are laid out by part, and their gradients back
    assert within["all-gather"] <= 1  # the modulation
    assert within.total() <= 12
    assert beside <= Counter({"all-reduce": 1})  # gradients over the replicas
    assert off < 1e-4

    # Where parameters are split as well, a device is sent its own columns of a fused matrix, and not all of it.
    fused = {
        part: MODEL.width * columns for part, columns in (("qkv", 3 * MODEL.width), ("w12", 4 * MODEL.width * 4 // 3))
    }
    for part, size in fused.items():
        sent = [m.bytes for m in messages_with_fsdp if part in m.operation and m.kind == "all-gather"]
        assert 0 < max(sent, default=0) <= 4 * size / 2, part
    assert off_with_fsdp < 1e-4


def split_update(optimizer_name: str) -> tuple[Message, ...]:
    """The messages of all of an update on (2, 1, 2): the gradient, its norm, the optimizer, averages and metrics."""
    config = Config(model=MODEL)
    training = dataclasses.replace(config.training, optimizer=optimizer_name, mesh=MeshConfig(data=2, tensor=2))
    config = dataclasses.replace(config, training=training, data=dataclasses.replace(config.data, batch_size=8))
    model, optimizer, mesh = make_model(config), make_optimizer(training), make_mesh(training.mesh)
    step = make_train_step(config, CanvasCodec(**config.codec_arguments()), model, optimizer)
    state = place_state(config, model, optimizer, mesh)
    compiled = jit_train_step(step, state, mesh).lower(state, place_batch(config, mesh)).compile()
    return read_all_messages(compiled.as_text(), (2, 1, 2))


def split_updates() -> list[tuple[Message, ...]]:
    return [split_update(name) for name in ("adamw", "muon")]


def test_an_update_sends_a_dozen_messages_a_block_and_two_besides():
    """The figures of docs/models.md."""
    adamw, muon = run_on_fake_cpus(4, split_updates)
    within = [message for message in adamw if "blocks/" in message.operation]
    assert len(within) == 12
    assert len(adamw) - len(within) == 2  # gradients and metrics over the replicas, and the norm of all gradients
    assert 14 < len(muon) <= 108  # each step of Newton-Schulz multiplies matrices of which no device has all

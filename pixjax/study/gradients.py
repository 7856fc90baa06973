"""Whether two modalities pull the parameters that they share in one direction: the cosine of their gradients."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from pixjax.checkpoints.load import Denoiser, load
from pixjax.codec import IMAGE, TEXT
from pixjax.data import make_batches
from pixjax.models import Params
from pixjax.training.state import start_state
from pixjax.training.step import make_train_step

BATCHES = 16  # whose gradients are averaged, in two halves


def gradient_cosine(workdir: epath.Path) -> dict[str, dict[str, float]]:
    """Of the newest checkpoint, on the batches that come after it: the cosines of each layer that both modalities use.

    Returns:
      For each layer `across`: between the gradients of the two losses; and `text` and `image`: between those of two
      halves of the batches, which are below 1 by noise alone. Noise draws `across` to 0 as well.
    """
    gradients = list(modality_gradients(load(workdir), BATCHES))
    halves = [_sum(gradients[start::2]) for start in range(2)]
    both = _sum(halves)
    found = {"across": layer_cosines(by_layer(both[TEXT]), by_layer(both[IMAGE]))}
    for name, modality in (("text", TEXT), ("image", IMAGE)):
        found[name] = layer_cosines(*(by_layer(half[modality]) for half in halves))
    return {layer: {name: of[layer] for name, of in found.items()} for layer in found["across"]}


def by_layer(params: Params) -> dict[str, Any]:
    """The parameters of each layer, and of each block of the transformer, which are stacked."""
    depth = len(jax.tree.leaves(params["blocks"])[0])
    blocks = {f"block {i}": jax.tree.map(lambda x, i=i: x[i], params["blocks"]) for i in range(depth)}
    return {name: layer for name, layer in params.items() if name != "blocks"} | blocks


def layer_cosines(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """The cosine between two gradients in each layer, by name. A layer that one of them does not touch is left out."""
    found = {}
    for layer in one:
        a, b = (
            np.concatenate([np.ravel(x).astype(np.float64) for x in jax.tree.leaves(g[layer])]) for g in (one, other)
        )
        if norms := float(np.linalg.norm(a) * np.linalg.norm(b)):
            found[layer] = float(a @ b) / norms
    return found


def modality_gradients(denoiser: Denoiser, count: int) -> Iterator[dict[int, Params]]:
    """The gradient of each modality's part of the loss, TEXT and IMAGE, of each of the `count` batches of training that
    come after the checkpoint.

    It is that of the training step itself, whose optimizer keeps the gradient and changes nothing, where the canvases
    of the other modality count nothing.
    """
    config, keeper = denoiser.config, _keep_gradient()
    step = jax.jit(make_train_step(config, denoiser.codec, denoiser.model, keeper))
    state = start_state(config, denoiser.params, keeper)
    with make_batches(config, denoiser.codec, start_step=denoiser.step) as batches:
        for number in range(denoiser.step, denoiser.step + count):
            batch, found = next(batches), dict[int, Params]()
            state = dataclasses.replace(state, step=jnp.asarray(number, jnp.int32))
            for modality in (TEXT, IMAGE):
                counts = (batch["modality"] == modality)[:, None, None]
                after, _ = step(state, batch | {"loss_mask": batch["loss_mask"] & counts})
                found[modality] = jax.tree.map(np.asarray, after.opt_state)
            yield found


def _sum(gradients: Sequence[dict[int, Params]]) -> dict[int, Params]:
    return jax.tree.map(lambda *each: sum(each), *gradients)


def _keep_gradient() -> optax.GradientTransformation:
    """An optimizer that moves nothing, and whose state is the last gradient."""

    def zeros(tree):
        return jax.tree.map(jnp.zeros_like, tree)

    return optax.GradientTransformation(zeros, lambda gradient, state, params=None: (zeros(gradient), gradient))

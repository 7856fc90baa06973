"""What shipped configs train, sample and measure is lowered for GPUs and TPUs, by `jax.export`, which needs neither."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from etils import epath
from shipped_configs import SHIPPED, config_named

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import IMAGE, CanvasCodec, Modality
from pixjax.config import Config
from pixjax.data import text_share
from pixjax.diffusion.bound import even
from pixjax.evaluation import model_bound
from pixjax.models import order_bound
from pixjax.sampling import generate, text_in_order
from pixjax.sampling.checks import require_possible
from pixjax.study.study import read_study
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import place_batch, place_state
from pixjax.training.state import make_model
from pixjax.training.step import make_train_step

PLATFORMS = ("cuda", "tpu")
COMPUTED = (
    (generate, "_sample"),
    (text_in_order, "_letter_by_letter"),
    (model_bound, "_draws"),
    (model_bound, "_decoded"),
    (order_bound, "next_token_nats"),
)

# Between them both optimizers and samplers, scans and blocks by themselves, the pixel head alone and beside a codebook,
# context, in-context tokens, markers that are first or not, an adaptive law of t. CI lowers all the others too, and
# all of their blocks.
COVERING = ("context64", "demo", "small", "study_mixing")
EVERY = "PIXJAX_EVERY_CONFIG" in os.environ
BLOCKS = 6  # of a network that has more: in-context tokens lead from the fifth on, and the others are as these are


@pytest.fixture
def lowered(monkeypatch):
    """The names of what is lowered instead of being computed; zeros take the place of what it would make."""
    names = []

    def lower(function, *arguments):
        exported = jax.export.export(function, platforms=PLATFORMS)(*arguments)
        assert exported.platforms == PLATFORMS
        names.append(exported.fun_name)
        return jax.tree.unflatten(exported.out_tree, [np.zeros(x.shape, x.dtype) for x in exported.out_avals])

    for module, name in COMPUTED:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *arguments, function=function: lower(function, *arguments))
    return names, lower


def as_on_an_accelerator(name: str) -> Config:
    """A config, or the first mixed arm of a study, with what `auto` means there."""
    config = config_named(name)
    if name.startswith("study_"):
        study = read_study(name)
        arms = (study.config(arm, 0, epath.Path(".")) for arm in study.arms)
        config = next(config for config in arms if 0 < text_share(config) < 1)
    depth = config.model.depth if EVERY else min(config.model.depth, BLOCKS)
    there = {"dtype": "bfloat16", "attention": "xla", "depth": depth}
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **there))


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_lowered_for_gpus_and_tpus(name, lowered):
    if name not in COVERING and not EVERY:
        pytest.skip(f"{', '.join(COVERING)} stand for {name}: set PIXJAX_EVERY_CONFIG=1 for all of them")
    names, lower = lowered
    config = as_on_an_accelerator(name)
    codec, mesh, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_mesh(config.training.mesh),
        make_optimizer(config.training),
    )
    model = make_model(config, codec)
    state = place_state(config, model, optimizer, mesh)
    lower(jax.jit(make_train_step(config, codec, model, optimizer)), state, place_batch(config, mesh))
    share = text_share(config)
    denoiser = Denoiser(
        config=config, codec=codec, step=0, model=model, params=state.params, mesh=mesh, text_share=share
    )
    canvas = codec.encode_ids(np.zeros((1, codec.capacity), np.int32))
    for modality in denoiser.modalities:
        choice = str(Modality(modality))
        generate.generate(denoiser, choice, 1, settings=require_possible(denoiser, choice, steps=2))
        model_bound.measure_bound(
            denoiser, canvas, np.ones(canvas.shape[:3], bool), modality=modality,
            log_prior=np.zeros(codec.vocab_size, np.float32), proposal=even(-10.0, 8.0), ends={"network": (8.0,)},
            num_times=1, batch_size=1, seed=0, done=lambda evaluations: None,
        )  # fmt: skip
    expected = {"train_step", "_draws", "_decoded"}
    if "1" in config.diffusion.blocks.shares:
        order_bound.next_token_bits(order_bound.TextReader.named(model, config, "1"), state.params, canvas)
        expected |= {"_letter_by_letter", "next_token_nats"}
    if "1" not in config.diffusion.blocks.shares or IMAGE in denoiser.modalities:
        expected.add("_sample")
    assert set(names) == expected

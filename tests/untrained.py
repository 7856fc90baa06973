"""Denoisers that have not been trained, for what does not depend on it."""

import jax

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import text_share
from pixjax.training.mesh import make_mesh
from pixjax.training.state import init_params, make_model


def untrained(config: Config) -> Denoiser:
    """With the parameters that its config starts from."""
    model = make_model(config)
    return Denoiser(
        config=config,
        codec=CanvasCodec(**config.codec_arguments()),
        step=0,
        model=model,
        params=init_params(model, jax.random.key(0)),
        mesh=make_mesh(config.training.mesh),
        text_share=text_share(config),
    )

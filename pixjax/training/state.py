"""The state that training carries from step to step."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import optax

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import text_share
from pixjax.diffusion import DecisionOrder, Information, no_information
from pixjax.errors import InputError
from pixjax.models import JiT, Palette, Params, text_types


@flax.struct.dataclass
class TrainState:
    step: jax.Array  # int32, updates done
    params: Params
    opt_state: optax.OptState
    ema: dict[str, Params]  # by decay, "0.9999"
    information: Information = flax.struct.field(default_factory=dict)  # of an adaptive law of t


def make_model(config: Config, codec: CanvasCodec | None = None) -> JiT:
    """The denoiser of a config. `codec` is the config's, made from it when None.

    Raises `InputError` where a text head would take images for text.
    """
    model = config.model
    if not (model.codebook_head or model.codebook_input):
        return JiT(model)
    if model.tagging == "none" and text_share(config) < 1:
        raise InputError(
            "with model.tagging='none' a text head takes every canvas for text, and data.sources has images: set "
            "model.tagging='condition' or 'both', or model.codebook_head=False and codebook_input=False"
        )
    palette = Palette(
        codec=codec or CanvasCodec(**config.codec_arguments()),
        noise_scale=config.diffusion.noise_scale,
        text_types=text_types(model),
        is_input=model.codebook_input,
        is_output=model.codebook_head,
        reads_marker=config.diffusion.marker_first > 0,
    )
    names = config.diffusion.blocks.shares
    orders = (DecisionOrder.named(name, palette.codec, model.patch) for name in names)
    return JiT(model, palette, tuple(order for order in orders if order))


@functools.partial(jax.jit, static_argnums=0)
def init_params(model: JiT, key: jax.Array) -> Params:
    size = model.config.canvas_size
    return model.init(key, jnp.zeros((1, size, size, 3)), jnp.zeros(1))["params"]


def init_state(config: Config, model: JiT, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update, a pure function of `training.seed`."""
    params = init_params(model, jax.random.key(config.training.seed))
    return start_state(config, params, optimizer)


def start_state(config: Config, params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state of a run that starts from given parameters."""
    # Copies: a donated state may not hold one buffer twice.
    ema = {str(decay): jax.tree.map(jnp.copy, params) for decay in config.training.ema_decays}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        ema=ema,
        information=no_information(config.diffusion.time),
    )

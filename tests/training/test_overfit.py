"""The whole of training, on a problem whose answer is known: eight canvases can be learned by heart."""

import jax
import numpy as np

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.models import denoise
from pixjax.training.metrics import add_up, averages
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

SECTIONS = {
    "model": {"depth": 2, "width": 64, "heads": 4, "bottleneck": 48},
    "diffusion": {"time": {"text": "logit_normal:-0.2:0.8", "image": "logit_normal:-0.2:0.8"}},
    "training": {"learning_rate": 1e-2, "warmup_steps": 20, "steps": 700, "decay": "cosine", "ema_decays": [0.9]},
}


def test_eight_canvases_are_learned_by_heart(tiny_config):
    config: Config = tiny_config(**SECTIONS)
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    with make_batches(config, codec) as batches:
        batch = next(batches)
    assert sorted(batch["modality"].tolist()) == [TEXT] * 4 + [IMAGE] * 4
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    step = jax.jit(  # compiled for speed: so many steps take longer than the compiler does
        make_train_step(config, codec, model, optimizer),
        donate_argnums=0,
        compiler_options={"xla_backend_optimization_level": 1},
    )
    first = None
    for _ in range(config.training.steps):
        state, metrics = step(state, batch)
        first = first or averages(add_up({}, [metrics]))
    x, t = to_float(batch["canvas"]), np.full(8, 0.6, np.float32)
    z = 0.6 * x + 0.4 * jax.random.normal(jax.random.key(9), x.shape)  # noise it has not seen
    x_hat = jax.jit(denoise, static_argnums=0)(model, state.params, z, t)
    mse = np.mean(np.square(x_hat - x) * batch["loss_mask"][..., None], axis=(1, 2, 3))
    assert mse.max() < 0.05 < 0.3 < first["x_mse/text"]
    text = batch["modality"] == TEXT
    np.testing.assert_array_equal(codec.decode_ids(np.asarray(x_hat)[text])[0], codec.decode_ids(x[text])[0])

"""What a training step gives the model beside the noisy canvas, seen through models of one number a condition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pixjax.training.step as step_module
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.errors import InputError
from pixjax.models import Prediction
from pixjax.training.metrics import add_up, averages
from pixjax.training.state import TrainState, make_model

BATCH = {
    "canvas": np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8),
    "modality": np.arange(64, dtype=np.int32) % 2,
    "label": np.where(np.arange(64) % 2 == 1, 1, -1).astype(np.int32),
    "loss_mask": np.ones((64, 16, 16), bool),
}


def update(monkeypatch, config, params, denoise):
    """The parameters after one step of gradient descent, and the metrics."""
    monkeypatch.setattr(step_module, "predict", lambda *inputs, **others: Prediction(denoise(*inputs, **others)))
    optimizer = optax.sgd(1.0)
    train_step = step_module.make_train_step(
        config, CanvasCodec(**config.codec_arguments()), make_model(config), optimizer
    )
    state = TrainState(step=jnp.int32(5), params=params, opt_state=optimizer.init(params), ema={})
    state, metrics = jax.jit(train_step)(state, BATCH)
    return state.params, averages(add_up({}, [metrics]))


def scaled_sum(model, params, z, t, type_id, label, previous=None, **_):
    return params["a"] * (z if previous is None else z + previous)


def test_the_earlier_prediction_is_a_constant_to_the_gradient(monkeypatch, tiny_config):
    """x̂ = a·(z + a·z): the same prediction as (a + a²)·z, and 1 + a times its gradient, not 1 + 2a times."""
    a = 0.5
    norms = {}
    for share, value in ((1.0, a), (0.0, a + a**2)):
        config = tiny_config(model={"self_condition": True}, training={"self_condition": share})
        _, metrics = update(monkeypatch, config, {"a": jnp.float32(value)}, scaled_sum)
        norms[share] = metrics["gradient_norm"]
    assert norms[1.0] / norms[0.0] == pytest.approx(1 + a, rel=1e-4)


@pytest.mark.parametrize(("seed", "twice"), [(0, 0.0), (3, 1.0)])
def test_half_of_the_steps_predict_twice_and_accumulation_in_the_same_ones(monkeypatch, tiny_config, seed, twice):
    def loss(**training):
        config = tiny_config(model={"self_condition": True}, training={"seed": seed, **training})
        return update(monkeypatch, config, {"a": jnp.float32(0.5)}, scaled_sum)[1]["loss"]

    assert loss(self_condition=0.5, accumulate=4) == pytest.approx(loss(self_condition=twice), rel=1e-5)
    assert loss(self_condition=0.5) != pytest.approx(loss(self_condition=1 - twice), rel=1e-2)


def by_condition(model, params, z, t, type_id, label, previous=None, **_):
    """A grey for each condition: of type none, text, image, and of label none, 0, 1."""
    grey = params["type"][type_id + 1] + params["label"][label + 1]
    return jnp.broadcast_to(grey[:, None, None, None], z.shape)


@pytest.mark.parametrize(
    ("dropout", "types", "labels"),
    [
        ({"label_dropout": 0.0, "type_dropout": 0.0}, [1, 2], [0, 2]),
        ({"label_dropout": 0.5, "type_dropout": 0.0}, [1, 2], [0, 2]),
        ({"label_dropout": 0.0, "type_dropout": 0.5}, [0, 1, 2], [0, 2]),
        ({"label_dropout": 0.0, "type_dropout": 1.0}, [0], [0]),  # the label is hidden with the type
    ],
)
def test_conditions_are_hidden_as_often_as_the_config_says(monkeypatch, tiny_config, dropout, types, labels):
    model = {"tagging": "both", "text_condition": True, "num_classes": 2}
    config = tiny_config(model=model, training={"learning_rate": 1.0, **dropout})
    before = {"type": jnp.zeros(3), "label": jnp.zeros(3)}
    after, _ = update(monkeypatch, config, before, by_condition)
    assert [np.flatnonzero(after[name]).tolist() for name in ("type", "label")] == [types, labels]


@pytest.mark.parametrize("model", [{"tagging": "marker"}, {"tagging": "both"}])
def test_a_type_that_means_text_when_it_is_missing_cannot_be_hidden(model):
    with pytest.raises(InputError, match=r"training.type_dropout=0\.1 hides the type.*model\.text_condition=True"):
        Config.from_dict({"model": model, "training": {"type_dropout": 0.1}})

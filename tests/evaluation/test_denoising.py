"""Curves over time: a perfect denoiser, one that knows nothing, and one with a known rate of errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.codec.noise import ErrorRate
from pixjax.errors import InputError
from pixjax.evaluation.denoising import denoising_curves
from pixjax.models import Prediction

CODEC = CanvasCodec("chars27", "radix:3:1", canvas_size=16)
TEXTS = 6


@pytest.fixture(scope="module")
def canvases():
    """Text, the last canvas with few tokens, and images: canvas, modality, mask."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 27, (TEXTS, CODEC.capacity))
    lengths = np.full(TEXTS, CODEC.capacity)
    lengths[-1] = 3
    images = CODEC.mark(random.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8), IMAGE)
    masks = np.concatenate([CODEC.loss_mask(ids, lengths), np.ones((3, 16, 16), bool)])
    return np.concatenate([CODEC.encode_ids(ids), images]), np.repeat([TEXT, IMAGE], [TEXTS, 3]), masks


def rescaled(z, t, modality):
    """What noise leaves of the canvas, undone in scale: x + σ·ε with σ = s(1-t)/t."""
    return Prediction(z / t[:, None, None, None])


def test_a_perfect_denoiser_has_no_error(canvases):
    curves = denoising_curves(rescaled, CODEC, *canvases, times=(0.1, 0.9), noise_scale=0.0)
    np.testing.assert_array_equal(curves["t"], [0.1, 0.9])
    for name in ("x_mse/text", "x_mse/image"):
        np.testing.assert_allclose(curves[name], 0, atol=1e-10)
    np.testing.assert_array_equal(curves["token_accuracy/text"], 1)
    np.testing.assert_array_equal(curves["exact_canvases/text"], 1)


def test_error_and_accuracy_are_those_of_the_noise(canvases):
    times, scale = np.array([0.7, 0.8, 0.9]), 0.5
    curves = denoising_curves(rescaled, CODEC, *canvases, times=times, noise_scale=scale)
    sigma = scale * (1 - times) / times
    for name in ("x_mse/text", "x_mse/image"):
        np.testing.assert_allclose(curves[name], sigma**2, rtol=0.1)
    right = 1 - np.array([ErrorRate(CODEC.color_code)(s) for s in sigma])
    np.testing.assert_allclose(curves["token_accuracy/text"], right, atol=0.03)
    assert (np.diff(curves["exact_canvases/text"]) >= 0).all()
    assert curves["exact_canvases/text"][0] <= 1 / TEXTS
    assert curves["exact_canvases/text"][2] == 1


def test_a_denoiser_that_says_grey_errs_by_the_power_of_what_counts(canvases):
    painted, modality, mask = canvases
    curves = denoising_curves(lambda z, t, m: Prediction(0 * z), CODEC, *canvases, times=(0.3,))
    for name, value in (("text", TEXT), ("image", IMAGE)):
        of_it = [np.mean(np.square(to_float(p)[m])) for p, m in zip(painted, mask, strict=True)]
        np.testing.assert_allclose(curves[f"x_mse/{name}"], np.mean(np.array(of_it)[modality == value]), rtol=1e-5)


def test_one_wrong_token_costs_its_canvas(canvases):
    painted = canvases[0]

    def spoilt(z, t, modality):
        row, column = np.divmod(CODEC.cell_index[2, 0], 16)
        return Prediction(rescaled(z, t, modality).x_hat.at[:, row, column].multiply(-3.0))

    middle = (painted[:TEXTS].reshape(TEXTS, -1, 3)[:, CODEC.cell_index[2, 0]] == 128).all(axis=1)
    wrong = np.count_nonzero(~middle)  # grey stays grey
    assert wrong >= TEXTS - 1
    curves = denoising_curves(spoilt, CODEC, *canvases, times=(0.5,), noise_scale=0.0)
    assert curves["exact_canvases/text"] == pytest.approx(1 - wrong / TEXTS)
    tokens = (TEXTS - 1) * CODEC.capacity + 3
    assert curves["token_accuracy/text"] == pytest.approx(1 - wrong / tokens)


def test_what_is_not_counted_may_be_wrong(canvases):
    painted, modality, mask = canvases
    only = slice(TEXTS - 1, TEXTS)

    def right_where_it_counts(z, t, modality):
        return Prediction(jnp.where(mask[only, ..., None], rescaled(z, t, modality).x_hat, 1.0))

    args = painted[only], modality[only], mask[only]
    curves = denoising_curves(right_where_it_counts, CODEC, *args, times=(0.5,), noise_scale=0.0, batch_size=1)
    assert curves["x_mse/text"] == pytest.approx(0, abs=1e-10)
    assert curves["token_accuracy/text"] == curves["exact_canvases/text"] == 1
    assert "x_mse/image" not in curves


def test_text_is_what_the_likeliest_ids_read_where_the_network_says_them(canvases):
    """Its mean colours may lie next to another one."""

    def certain_of_the_blank(z, t, modality):
        log_probs = jnp.zeros((len(z), CODEC.capacity, 27)).at[:, :, CODEC.pad_id].set(1.0)
        return Prediction(rescaled(z, t, modality).x_hat, log_probs)

    ids = CODEC.nearest_ids(canvases[0][:TEXTS])
    counted = np.arange(CODEC.capacity) < np.array([CODEC.capacity] * (TEXTS - 1) + [3])[:, None]
    curves = denoising_curves(certain_of_the_blank, CODEC, *canvases, times=(0.9,), noise_scale=0.0)
    assert curves["token_accuracy/text"] == pytest.approx(np.mean(ids[counted] == CODEC.pad_id))
    assert curves["x_mse/text"] == pytest.approx(0, abs=1e-10)


def test_curves_do_not_depend_on_batches_and_change_with_the_seed(canvases):
    whole = denoising_curves(rescaled, CODEC, *canvases, times=(0.5, 0.6))
    parts = denoising_curves(rescaled, CODEC, *canvases, times=(0.5, 0.6), batch_size=4)
    other = denoising_curves(rescaled, CODEC, *canvases, times=(0.5, 0.6), seed=1)
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-5)
    assert (whole["x_mse/text"] != other["x_mse/text"]).all()


def test_parameters_are_an_argument_and_the_modality_reaches_the_model(canvases):
    def level(value, z, t, modality):
        return Prediction(jnp.where((modality == TEXT)[:, None, None, None], value, z / t[:, None, None, None]))

    found = [
        denoising_curves(
            jax.tree_util.Partial(level, jnp.float32(value)), CODEC, *canvases, times=(0.5,), noise_scale=0
        )
        for value in (0.0, 3.0)
    ]
    assert found[1]["x_mse/text"] > found[0]["x_mse/text"] > 0.1
    assert found[0]["x_mse/image"] == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("times", [(), (1.0,), (-0.1, 0.5), (float("nan"),)])
def test_times_outside_the_path_are_refused(canvases, times):
    with pytest.raises(InputError, match="one or more in"):
        denoising_curves(rescaled, CODEC, *canvases, times=times)


def test_arrays_that_do_not_fit_are_refused(canvases):
    painted, modality, mask = canvases
    with pytest.raises(InputError, match="do not fit"):
        denoising_curves(rescaled, CODEC, painted, modality[:-1], mask)

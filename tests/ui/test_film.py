"""One sample as it came about, frame by frame and pixel by pixel."""

import dataclasses

import numpy as np
import pytest
from checked import generate
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec, to_float
from pixjax.sampling.generate import _sample
from pixjax.sampling.request import SampleRequest
from pixjax.sampling.text_in_order import UNWRITTEN
from pixjax.ui.controls import Averages
from pixjax.ui.film import Film, make_film, picture, scale_of, text_html, token_at, token_html, tokens_of

CODEC = CanvasCodec("bytes", "radix:auto:2", "patch", canvas_size=8)


def film_of(text: str, modality: int = TEXT) -> Film:
    """Two frames: noise, and the canvas of a text."""
    x = to_float(CODEC.encode(text)[0])
    noise = np.random.default_rng(0).uniform(-1, 1, x.shape).astype(np.float32)
    return Film(
        codec=CODEC, x_hat=np.stack([noise, x]), modality=np.full(2, modality), step=(0, 9), time=(0.0, 0.9), steps=10
    )


def test_every_pixel_of_a_cell_tells_the_same_token_and_where_its_cell_lies():
    film = film_of("ab")
    for y, x in np.ndindex(8, 8):
        token = token_at(film, 1, x, y)
        assert token.color == tuple(CODEC.encode("ab")[0, y, x].tolist())
        if token.number is None:
            continue
        assert (x, y) in token.pixels
        assert [v * 8 + u for u, v in token.pixels] == CODEC.cell_index[token.number].tolist()
        assert token.id == [97, 98, *[CODEC.pad_id] * 29][token.number]
        assert token.margin == pytest.approx(1)
        assert token.legal[token.pixels.index((x, y))] == token.color  # as it is painted


def test_the_marker_and_the_pixels_of_an_image_carry_no_token():
    assert token_at(film_of("ab"), 1, 0, 0).id is None
    assert token_at(film_of("ab", IMAGE), 1, 4, 4).id is None
    assert len(tokens_of(film_of("ab", IMAGE), 1)[0]) == 0


def test_a_text_ends_where_nothing_follows_and_an_early_frame_reads_otherwise():
    film = film_of("ab")
    ids, margin = tokens_of(film, 1)
    assert ids.tolist() == [97, 98]
    np.testing.assert_allclose(margin, 1, atol=1e-6)
    early, doubtful = tokens_of(film, 0)
    assert early.tolist() != [97, 98]
    assert doubtful.mean() < 0.9


def test_of_a_text_that_is_written_in_order_a_frame_reads_what_is_written():
    """What is not decided has a colour too, which is near to that of some token."""
    whole = film_of("abc")
    film = dataclasses.replace(whole, in_order=True)
    half = film.x_hat[1].reshape(-1, 3).copy()
    half[CODEC.cell_index[2:].reshape(-1)] = UNWRITTEN
    film.x_hat[0] = half.reshape(film.x_hat[1].shape)
    assert tokens_of(film, 0)[0].tolist() == [97, 98]
    assert "step 1 of 10, 6% written: 2 tokens" in text_html(film, 0)
    assert "step 10 of 10, 100% written: 3 tokens" in text_html(film, 1)
    assert "predicted at t" in text_html(whole, 0)  # what a model predicts may have any colour
    assert len(tokens_of(whole, 0)[0]) > 2
    (x, y), *_ = token_at(film, 1, *place_of(2)).pixels
    assert (token_at(film, 0, x, y).id, token_at(film, 1, x, y).id) == (None, 99)
    assert "not written yet" in token_html(token_at(film, 0, x, y))
    assert token_at(film, 0, *place_of(1)).id == 98


def place_of(token: int) -> tuple[int, int]:
    y, x = divmod(int(CODEC.cell_index[token, 0]), 8)
    return x, y


def test_the_picture_has_a_sharp_square_for_each_pixel_and_outlines_a_cell():
    film = film_of("ab")
    shown, scale = np.asarray(picture(film, 1)), scale_of(film)
    assert shown.shape == (8 * scale, 8 * scale, 3)
    np.testing.assert_array_equal(shown, np.asarray(CODEC.encode("ab")[0]).repeat(scale, 0).repeat(scale, 1))
    token = token_at(film, 1, 4, 0)
    changed = (np.asarray(picture(film, 1, token)) != shown).any(axis=-1).reshape(8, scale, 8, scale).any(axis=(1, 3))
    assert {(x, y) for y, x in np.argwhere(changed).tolist()} == set(token.pixels)


@pytest.fixture(scope="module")
def averages(workdir):
    return Averages(str(workdir))


def test_the_last_frame_is_what_sample_makes_of_the_same_request(averages):
    denoiser = averages.current
    film = make_film(denoiser, SampleRequest(modality="text", seed=3))
    np.testing.assert_array_equal(film.x_hat[-1], generate(denoiser, "text", 1, seed=3).x[0])
    assert (film.step, film.steps) == ((0, 1), 2)
    filled = make_film(denoiser, SampleRequest(infill="<b>__"))
    assert tokens_of(filled, len(filled) - 1)[0][:3].tolist() == list(b"<b>")


def test_prompts_of_any_length_and_seeds_and_averages_share_one_program(averages, tmp_path):
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    first = make_film(averages("0.9"), SampleRequest(modality="text", prompt="a"))
    before = _sample._cache_size()
    requests = {
        "0.9": SampleRequest(modality="text", prompt="a longer prompt, " * 5),
        "0.5": SampleRequest(modality="image", prompt="a", seed=7),
        "none": SampleRequest(modality="text", prompt_image=str(tmp_path / "red.png")),
    }
    others = [make_film(averages(name), request) for name, request in requests.items()]
    assert _sample._cache_size() == before
    assert all((other.x_hat != first.x_hat).any() for other in others)


def test_another_average_has_other_parameters_and_the_same_checkpoint(averages):
    films = [make_film(averages(name), SampleRequest(modality="text", prompt="a")) for name in ("0.9", "none", "0.9")]
    np.testing.assert_array_equal(films[0].x_hat, films[2].x_hat)
    assert (films[0].x_hat != films[1].x_hat).any()
    assert averages.current.step == 4


def test_a_film_of_one_step_has_one_frame(averages):
    film = make_film(averages.current, SampleRequest(modality="image", steps=1, sampler="euler"))
    assert len(film) == 1
    assert film.modality.tolist() == [IMAGE]

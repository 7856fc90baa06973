"""Samples in Python: what they read, how a notebook shows them, and what is wrong to ask for."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from untrained import untrained

import pixjax
from pixjax.codec import IMAGE, TEXT, to_float
from pixjax.errors import InputError
from pixjax.sampling.generate import Generated
from pixjax.sampling.samples import Samples

CODEC = pixjax.CanvasCodec(tokenizer="bytes", code="radix:auto:1", canvas_size=8)


def generated(*texts: str | None) -> Generated:
    """Canvases of texts, without any noise; None is a grey image."""
    grey = CODEC.mark(np.full((8, 8, 3), 128, np.uint8), "image")
    canvases = np.stack([grey if text is None else CODEC.encode(text)[0] for text in texts])
    num = len(texts)
    return Generated(
        x=to_float(canvases),
        canvases=canvases,
        modality=np.array([IMAGE if text is None else TEXT for text in texts], np.int32),
        modality_margin=np.ones(num, np.float32),
        frames=np.zeros((num, 0, 8, 8, 3), np.float32),
        frame_times=np.zeros((num, 0), np.float32),
    )


def test_each_sample_has_its_text_and_its_margin_and_an_image_has_none():
    samples = Samples(pages=(generated("one", None, "two"),), codec=CODEC, num=3)
    assert samples.texts == ("one", "", "two")
    np.testing.assert_allclose(samples.margins, [1, np.nan, 1], rtol=1e-5)
    assert samples.modality.tolist() == [TEXT, IMAGE, TEXT]
    assert repr(samples) == "Samples(3 on 8x8 canvases: 2 text, 1 images)"


def test_pages_are_joined_and_lie_side_by_side(tmp_path):
    samples = Samples(pages=(generated("one ", "two "), generated("more", "page")), codec=CODEC, num=2, num_pages=2)
    assert samples.texts == ("one more", "two page")
    assert samples.canvases.shape == (2, 2, 8, 8, 3)
    samples.save(tmp_path)
    names = sorted(path.name for path in (tmp_path / "canvases").iterdir())
    assert names == ["0000-1.png", "0000-2.png", "0001-1.png", "0001-2.png"]
    assert (tmp_path / "grid.png").exists()


def test_what_was_stopped_is_saved_without_a_picture_of_all_of_it(tmp_path):
    samples = Samples(pages=(generated("one ", "two "), generated("more")), codec=CODEC, num=2, num_pages=2)
    assert samples.texts == ("one more", "two ")
    assert samples.canvases.shape == (2, 1, 8, 8, 3)
    samples.save(tmp_path)
    assert len(list((tmp_path / "canvases").iterdir())) == 3
    assert not (tmp_path / "grid.png").exists()


def test_a_notebook_shows_canvases_and_texts_and_runs_nothing_of_them():
    samples = Samples(pages=(generated("<script>\0&", None, *["a text"] * 16),), codec=CODEC, num=18)
    page = samples._repr_html_()
    assert "&lt;script&gt;\ufffd&amp;" in page
    assert "<script" not in page
    assert page.count("<img ") == 16
    assert page.count("<pre ") == 15
    assert "1: image<" in page
    assert "and 2 more" in page
    picture = np.asarray(Image.open(io.BytesIO(samples._repr_png_())))
    np.testing.assert_array_equal(picture, np.asarray(samples.grid()))


def test_arguments_that_are_wrong_are_one_sentence_before_anything_is_computed(workdir):
    model = pixjax.load(workdir)
    for arguments, message in (
        ({"modality": "sound"}, "modality='sound' is unknown: choose one of any, text, image"),
        ({"num": 0}, "--num=0 is too few"),
        ({"seed": -1}, "--seed=-1 has to be between 0 and"),
        ({"stpes": 2}, "unknown config key 'sampling.stpes': did you mean 'sampling.steps'"),
        ({"grid": "linear"}, "grid 'linear' is unknown"),
        ({"trajectory": [0, 9]}, "step 9 is not one of the 2 steps"),
        ({"prompt": "a"}, "--prompt: this model was trained without context"),
    ):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            pixjax.sample(model, **arguments)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"model is a str: give what pixjax\.load returns"):
        pixjax.sample("pretrained:small")
    with pytest.raises(InputError, match=r"config is a dict: give what pixjax\.load_config"):
        pixjax.train({}, workdir)
    assert repr(model).startswith("Denoiser(step 2, ")
    assert repr(model).endswith(" parameters, text and image on 16x16 canvases)")


def test_numbers_of_numpy_are_numbers_and_a_modality_is_its_name(workdir):
    model = pixjax.load(workdir)
    named = pixjax.sample(model, "text", 4, seed=3, steps=2)
    numbered = pixjax.sample(model, np.int64(0), np.int64(4), seed=np.int64(3), steps=np.int64(2))
    assert (named.modality == pixjax.Modality.TEXT).all()
    np.testing.assert_array_equal(named.canvases, numbered.canvases)


def test_a_modality_is_given_to_the_network_by_name(tiny_config):
    model = untrained(tiny_config(model={"tagging": "both", "text_condition": True}))
    z, t = np.ones((1, 16, 16, 3), np.float32), np.array([0.5], np.float32)
    np.testing.assert_array_equal(model.denoise(z, t, modality="image"), model.denoise(z, t, modality=[1]))
    with pytest.raises(InputError, match="modality='sound' is unknown"):
        model.denoise(z, t, modality="sound")

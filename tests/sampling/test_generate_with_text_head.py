"""Samples of a model with a text head, whatever else it is told."""

import dataclasses

import numpy as np
import pytest
from checked import generate
from filled import filled
from untrained import untrained

from pixjax.diffusion.sampler import SAMPLERS
from pixjax.errors import InputError
from pixjax.sampling.infill import given_text
from pixjax.sampling.prompts import make_context, read_prompt

MODEL = {
    "tagging": "both", "text_condition": True, "codebook_head": True, "codebook_input": True, "cell_layers": 1,
    "cell_width": 8, "self_condition": True, "context_canvases": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def denoiser(tiny_config):
    """Of letters over two pixels, with random parameters: what it says of a letter is far from certain."""
    config = tiny_config(model=MODEL, codec={"code": "radix:2:2"}, training={"type_dropout": 0.1})
    start = untrained(config)
    return dataclasses.replace(start, params=filled(start.params, 0.2))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_text_is_a_mean_of_legal_colours_and_images_are_what_the_pixel_head_says(denoiser, sampler):
    texts, images = (np.abs(generate(denoiser, m, 2, steps=2, sampler=sampler).x).max() for m in ("text", "image"))
    assert texts <= 1 + 1e-5
    assert images > 1.1


def test_given_letters_stay(denoiser):
    given = given_text(denoiser.codec, "the cat _______ on")
    for canvas in generate(denoiser, "text", 2, given=given, steps=2).canvases:
        text = denoiser.codec.detokenize(denoiser.codec.nearest_ids(canvas[None])[0])
        assert text.startswith("the cat ")
        assert text[15:18] == " on"


def test_prompts_and_guidance_are_heard(denoiser):
    prompt = make_context(denoiser, [read_prompt(denoiser, text="hello there")] * 2)
    made = [generate(denoiser, "text", 2, steps=2, **how) for how in ({}, {"context": prompt}, {"guidance": 2.0})]
    assert (made[1].canvases != made[0].canvases).any()
    assert (made[2].canvases != made[0].canvases).any()
    assert all(np.isfinite(each.x).all() for each in made)


def test_colours_are_not_drawn_to_legal_ones_twice(denoiser):
    with pytest.raises(InputError, match=r"sampling.project_from=0.5 draws colours.*leave it at 1"):
        generate(denoiser, "text", 1, project_from=0.5)

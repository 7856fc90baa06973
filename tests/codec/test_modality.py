"""One enum for what a canvas is: a number in arrays, a name in words, the same to NumPy and to JAX."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.errors import InputError


@pytest.mark.parametrize("said", [Modality.IMAGE, 1, "image", np.int32(1)])
def test_a_member_its_number_and_its_name_say_the_same(said):
    assert Modality.of(said) is Modality.IMAGE is IMAGE


@pytest.mark.parametrize("said", ["sound", "Text", 2, -1, None, np.array([0, 1])])
def test_what_is_no_modality_is_refused(said):
    with pytest.raises(InputError, match="is unknown: choose 'text' or 'image'"):
        Modality.of(said)


def test_it_prints_as_its_name_and_is_kept_as_its_number():
    assert f"{TEXT}, {IMAGE!s:>6}, {IMAGE:>6}" == "text,  image,  image"
    assert json.dumps([TEXT, IMAGE]) == "[0, 1]"
    assert np.array([TEXT, IMAGE]).tolist() == [0, 1]


def test_jax_takes_it_for_its_number_in_a_program_and_out_of_it():
    modality = jnp.array([0, 1], jnp.int32)
    chosen = jax.jit(lambda m, other: jnp.where(m == IMAGE, other, m))(modality, TEXT)
    assert chosen.dtype == jnp.int32
    np.testing.assert_array_equal(chosen, [0, 0])


def test_a_marker_is_painted_by_name():
    codec, grey = CanvasCodec(canvas_size=8), np.full((8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(codec.mark(grey, "image"), codec.mark(grey, IMAGE))
    with pytest.raises(InputError, match="modality='sound' is unknown"):
        codec.mark(grey, "sound")

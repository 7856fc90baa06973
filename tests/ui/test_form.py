"""What is filled in, as the request that `pixjax sample` would make of the same flags."""

import pytest

from pixjax.config import SamplingConfig
from pixjax.errors import InputError
from pixjax.sampling.request import SampleRequest
from pixjax.ui.controls import request_of

UNTOUCHED = {"modality": "any", "prompt": "", "prompt_image": None, "infill": "", "seed": 0, "label": -1}
UNTOUCHED |= {"sampler": "heun", "steps": 50, "guidance": 1.0}


def test_empty_fields_ask_for_nothing():
    assert request_of(UNTOUCHED, SamplingConfig()) == SampleRequest()


def test_guidance_is_asked_for_only_where_it_is_not_the_configs():
    """The config's holds where there is something to guide toward; what is asked for has to have something."""
    guided = SamplingConfig(guidance=2.0)
    assert request_of(UNTOUCHED, guided).changes["guidance"] == 1.0
    assert "guidance" not in request_of(UNTOUCHED | {"guidance": 2}, guided).changes


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": None}, "--seed is empty: give a whole number"),
        ({"steps": 2.5}, "--steps is 2.5: give a whole number"),
        ({"seed": -1}, "--seed=-1 has to be between 0 and 2147483647"),
    ],
)
def test_wrong_numbers_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        request_of(UNTOUCHED | wrong, SamplingConfig())

import pytest

from pixjax.config import Config, DataConfig
from pixjax.data.sources import source_weights, text_share
from pixjax.errors import InputError


def weights(*sources, **data):
    return dict(source_weights(Config(data=DataConfig(sources=sources, **data))))


def test_text_ratio_is_shared_equally_within_each_modality():
    assert weights("demo:text", "text:a", "images:b", text_ratio=0.3) == pytest.approx(
        {"demo:text": 0.15, "text:a": 0.15, "images:b": 0.7}
    )


def test_weights_override_the_ratio():
    assert weights("demo:text", "demo:images", weights=(3.0, 1.0), text_ratio=0.1) == {
        "demo:text": 0.75,
        "demo:images": 0.25,
    }


def test_sources_of_one_modality_have_everything():
    assert weights("images:a", "images:b", text_ratio=0.9) == {"images:a": 0.5, "images:b": 0.5}
    assert weights("demo:text") == {"demo:text": 1}


def test_a_source_without_a_share_is_left_out_and_may_be_missing():
    assert weights("demo:text", "images:/nowhere", text_ratio=1.0) == {"demo:text": 1}


@pytest.mark.parametrize(
    ("sources", "data", "expected"),
    [
        (("demo:text", "text:/nowhere", "images:/nowhere"), {"text_ratio": 0.3}, 0.3),
        (("demo:text", "demo:images"), {"weights": (3.0, 1.0), "text_ratio": 0.1}, 0.75),
        (("captions:/nowhere", "images:/nowhere"), {"text_ratio": 0.9}, 0),
        (("demo:text", "images:/nowhere"), {"text_ratio": 1.0}, 1),
        (("demo:text", "demo:images"), {"text_ratio": 0.5}, 0.5),
        (("demo:text", "demo:images"), {"text_ratio": 0.0}, 0),
        (("images:x",), {"text_ratio": 0.5}, 0),
    ],
)
def test_the_share_of_text_is_that_of_the_mixture_and_needs_no_files(sources, data, expected):
    assert text_share(Config(data=DataConfig(sources=sources, **data))) == pytest.approx(expected)


@pytest.mark.parametrize(("scheme", "expected"), [("text", 1.0), ("images", 0.0)])
def test_one_modality_has_exactly_everything_however_many_sources_share_it(scheme, expected):
    sources = tuple(f"{scheme}:{i}" for i in range(7))  # seven sevenths are less than one in floating point
    assert text_share(Config(data=DataConfig(sources=sources, text_ratio=0.5))) == expected


@pytest.mark.parametrize(("source", "ratio", "name"), [("demo:text", 0.0, "image"), ("demo:images", 1.0, "text")])
def test_a_ratio_that_asks_for_what_is_not_there_is_an_error(source, ratio, name):
    with pytest.raises(InputError, match=f"asks for {name} alone"):
        weights(source, text_ratio=ratio)


def test_a_source_named_twice_is_an_error():
    with pytest.raises(InputError, match="twice"):
        weights("demo:text", "demo:text")

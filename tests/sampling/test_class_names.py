"""A run keeps what its classes are called, and is asked for them by name."""

import json
import types
import unicodedata

import pytest

from pixjax.checkpoints.run_files import DATA_FILE, damaged_files, read_class_names, write_run
from pixjax.codec import CanvasCodec
from pixjax.errors import InputError
from pixjax.sampling.checks import class_number


def test_a_workdir_keeps_the_names_of_its_classes(tiny_config, tmp_path):
    from etils import epath

    config, workdir = tiny_config(model={"num_classes": 3}), epath.Path(tmp_path / "run")
    codec = CanvasCodec(**config.codec_arguments())
    write_run(workdir, config, codec, ["cats", None, "dogs"])
    assert read_class_names(workdir) == ("cats", None, "dogs")
    assert damaged_files(workdir) == []
    for older in ({"text_share": 0.5}, {"text_share": 0.5, "class_names": "cats"}):
        (workdir / DATA_FILE).write_text(json.dumps(older))
        assert read_class_names(workdir) == ()


@pytest.mark.parametrize(("label", "number"), [("dogs", 2), ("1", 1), (0, 0), ("-1", -1)])
def test_a_class_is_named_or_numbered(label, number):
    assert class_number(types.SimpleNamespace(class_names=("cats", None, "dogs")), label) == number


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_a_name_is_found_with_its_accents_composed_or_not(form, typed):
    names = ("cats", unicodedata.normalize(form, "Äpfel"))
    assert class_number(types.SimpleNamespace(class_names=names), unicodedata.normalize(typed, "Äpfel")) == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cats", None, "dogs"), "--label=dog is not a class of this model: choose a name such as dogs, cats, or a"),
        ((), "--label=dog is not a class of this model: its classes have no names, give a number"),
        (("dog", "dog"), "--label=dog is the name of several classes, 0 and 1: give the number of one"),
    ],
)
def test_a_name_that_is_no_class_is_refused(names, message):
    with pytest.raises(InputError) as caught:
        class_number(types.SimpleNamespace(class_names=names), "dog")
    assert str(caught.value).startswith(message)

"""Labels are numbers below the model's classes, and no class of one source is a class of another."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.config import Config, DataConfig, ModelConfig
from pixjax.data import make_batches, open_source
from pixjax.data.labels import require_same_classes
from pixjax.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Three classes, each of one grey, a picture without any, and one more class elsewhere."""
    for name in ("a/0", "b/1", "c/2", "3", "../more/z/4"):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (int(name[-1]),) * 3).save(path)
    return tmp_path


def labels_by_grey(num_classes, *sources):
    config = Config(
        model=ModelConfig(canvas_size=16, num_classes=num_classes), data=DataConfig(sources=sources, batch_size=32)
    )
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        batch = next(batches)
    return dict(zip(batch["canvas"][:, 8, 8, 0].tolist(), batch["label"].tolist(), strict=True))


def test_the_labels_of_several_sources_are_numbered_one_after_the_other(folder):
    sources = (f"images:{folder}/pictures", f"images:{folder}/more")
    assert labels_by_grey(4, *sources) == {0: 0, 1: 1, 2: 2, 3: -1, 4: 3}
    assert labels_by_grey(9, *reversed(sources)) == {4: 0, 0: 1, 1: 2, 2: 3, 3: -1}


def test_a_model_without_classes_takes_labels_as_they_are(folder):
    labels = labels_by_grey(0, f"images:{folder}/pictures", f"images:{folder}/more")
    assert labels == {0: 0, 1: 1, 2: 2, 3: -1, 4: 0}


@pytest.mark.parametrize(
    ("classes", "sources", "message"),
    [
        (2, ["pictures"], r"pictures has 3 labels, and model\.num_classes=2 is too few: set it to 3 or more"),
        (3, ["pictures", "more"], r"more has 1 labels, numbered from 3 after .*num_classes=3 .*set it to 4 or more"),
        (1, ["pictures", "more"], r"pictures has 3 labels, and model\.num_classes=1 .*set it to 4 or more"),
    ],
)
def test_more_labels_than_classes_are_refused(folder, classes, sources, message):
    with pytest.raises(InputError, match=message) as caught:
        labels_by_grey(classes, *(f"images:{folder}/{name}" for name in sources))
    assert "\n" not in str(caught.value)


def test_the_demo_needs_six_classes():
    assert set(labels_by_grey(6, "demo:images").values()) <= set(range(6))
    with pytest.raises(InputError, match="demo:images has 6 labels"):
        labels_by_grey(5, "demo:images")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, "cat"], "some labels are numbers, such as 0, and some are names, such as 'cat'"),
        ([0, 2**31], r"label 2147483648 is not in \[-1, 2147483647\]"),
        ([0, -2], "label -2 is not in"),
    ],
)
def test_labels_that_are_no_classes_are_refused(folder, labels, message):
    lines = [json.dumps({"file": f"{'ab'[i]}/{i}.png", "label": label}) for i, label in enumerate(labels)]
    (folder / "labels.jsonl").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message) as caught:
        open_source(f"images:{folder}/pictures?labels={folder}/labels.jsonl", canvas_size=16)
    assert "labels.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_is_one_class_with_its_accents_composed_or_not(folder):
    """As macOS writes them, and as everybody else does: another order of the names would number them otherwise."""
    names = [unicodedata.normalize("NFD", "Äpfel"), "Äpfel", "Birnen", None]
    lines = [json.dumps({"file": f"{i}.png", "label": label}) for i, label in enumerate(names)]
    (folder / "labels.jsonl").write_text("\n".join(lines))
    source = open_source(f"images:{folder}/pictures?labels={folder}/labels.jsonl", canvas_size=16)
    assert source.class_names == ("Birnen", "Äpfel")
    assert sorted(picture.label for picture in source.load(range(4))) == [-1, 0, 1, 1]
    saved = [[unicodedata.normalize("NFD", name) for name in source.class_names]]
    require_same_classes(saved, [source])
    with pytest.raises(InputError, match="the order of its classes is another"):
        require_same_classes([saved[0][::-1]], [source])


def test_the_largest_label_is_kept(folder):
    (folder / "labels.jsonl").write_text(json.dumps({"file": "3.png", "label": 2**31 - 1}))
    source = open_source(f"images:{folder}/pictures?labels={folder}/labels.jsonl", canvas_size=16)
    assert np.int32([picture.label for picture in source.load(range(4))]).tolist() == [2**31 - 1, -1, -1, -1]

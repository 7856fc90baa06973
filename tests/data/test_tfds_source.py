"""A data set of TensorFlow Datasets, defined over local files, prepared, and read back without TensorFlow."""

import sys

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.config import Config, DataConfig, ModelConfig
from pixjax.data import make_batches, open_source, text_share
from pixjax.data.images import BadImage
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.tfds_source import _require_network
from pixjax.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets")

CODEC = CanvasCodec(canvas_size=16)


class PixjaxShapes(tfds.core.GeneratorBasedBuilder):
    """Squares of one grey, with a label and a caption; the fifth file is broken."""

    VERSION = tfds.core.Version("1.0.0")
    folder = None

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["dark", "light"]),
            "caption": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for path in sorted(self.folder.glob("*.png")):
            value = int(path.stem)
            yield path.stem, {"image": str(path), "label": int(value > 40), "caption": f"grey {value} é"}


class PixjaxSentences(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": ((n, {"text": f"sentence {n}"}) for n in range(30))}

    def _generate_examples(self):
        raise NotImplementedError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "files").mkdir()
    for number in range(10):
        size = (20 + 4 * number, 32)
        Image.new("RGB", size, (10 * number,) * 3).save(folder / "files" / f"{10 * number:02}.png")
    (folder / "files" / "50.png").write_bytes(b"broken")
    PixjaxShapes.folder = folder / "files"
    for builder in (PixjaxShapes, PixjaxSentences):
        builder(data_dir=folder / "data", file_format="array_record").download_and_prepare()
    return folder / "data"


def greys(pictures):
    return [p.cause if isinstance(p, BadImage) else int(p.pixels.mean().round()) for p in pictures]


def test_images_labels_and_captions_are_read_back_and_a_broken_one_is_told(place):
    source = open_source(f"tfds:pixjax_shapes:train?dir={place}", canvas_size=16)
    pictures = source.load(range(10))
    shown = greys(pictures)
    assert sorted(shown, key=str) == sorted([0, 10, 20, 30, 40, "unreadable", 60, 70, 80, 90], key=str)
    whole = [(grey, p) for grey, p in zip(shown, pictures, strict=True) if grey != "unreadable"]
    assert all(p.label == int(grey > 40) and p.captions == (f"grey {grey} é",) for grey, p in whole)
    assert all(min(p.pixels.shape[:2]) == 16 for _, p in whole)
    assert (source.modality, source.num_labels) == (IMAGE, 2)


def test_slices_of_a_split_are_splits(place):
    every = open_source(f"tfds:pixjax_shapes:train?dir={place}", canvas_size=16)
    some = open_source(f"tfds:pixjax_shapes:train[2:5]?dir={place}", canvas_size=16)
    assert greys(some.load(range(3))) == greys(every.load(range(2, 5)))


def test_text_is_a_stream_of_its_examples(place):
    source = open_source(f"tfds:pixjax_sentences:train?dir={place}", canvas_size=16, codec=CODEC)
    assert source.modality == TEXT
    pieces = CODEC.split_documents(source.tokens.ids)
    assert sorted(piece for piece in pieces if piece) == sorted(f"sentence {n}" for n in range(30))


def test_a_chosen_text_feature_makes_pictures_with_other_captions(place):
    source = open_source(f"tfds:pixjax_shapes:train?dir={place}&text=caption&image=image", canvas_size=16)
    assert len(source) == 10


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mixture_of_tfds_sources_trains_and_prepared_shards_hold_the_same(place, tmp_path, workers):
    uris = [f"tfds:pixjax_{name}:train?dir={place}" for name in ("shapes", "sentences")]
    for uri, name in zip(uris, ("shapes", "sentences"), strict=True):
        prepare(plan_preparation(uri, str(tmp_path / name), canvas_size=16, codec=CODEC, shards=3))
    prepared = [f"array_record:{tmp_path}/{name}" for name in ("shapes", "sentences")]
    taken = []
    for sources in (uris, prepared):
        config = Config(
            model=ModelConfig(canvas_size=16),
            data=DataConfig(sources=tuple(sources), batch_size=18, workers=workers, max_bad_fraction=1.0),
        )
        assert text_share(config) == 0.5
        with make_batches(config, CODEC) as batches:
            taken.append(next(batches))
    text = taken[0]["modality"] == TEXT
    assert (taken[0]["canvas"][text] == taken[1]["canvas"][text]).all()
    shown = {int(canvas[8, 8, 0]) for canvas in taken[1]["canvas"][~text]}
    assert shown == {0, 10, 20, 30, 40, 60, 70, 80, 90}  # the broken one is not among the prepared


def test_tensorflow_is_not_imported(place):
    open_source(f"tfds:pixjax_shapes:train?dir={place}", canvas_size=16)
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("tfds:mnist:train?dir={place}", r"mnist is not prepared in .*download=true.*download_and_prepare\(\)"),
        ("tfds:mnist", "names no split"),
        ("tfds:no_such_set_at_all:train?dir={place}", "no data set is named 'no_such_set_at_all'"),
        ("tfds:pixjax_shapes:test?dir={place}", "Unknown split 'test'"),
        ("tfds:pixjax_shapes:train?dir={place}&label=caption", "label=caption is not one of its ClassLabel features"),
        ("tfds:pixjax_shapes:train?folder={place}", "option 'folder'"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(place, uri, message):
    with pytest.raises(InputError, match=message) as caught:
        open_source(uri.format(place=place), canvas_size=16, codec=CODEC)
    assert "\n" not in str(caught.value)


def test_a_download_without_a_network_is_refused_at_once():
    def unreachable(address, timeout):
        assert timeout <= 10
        raise OSError("no route")

    with pytest.raises(InputError, match=r"downloaded from data\.example, which cannot be reached: run BY HAND"):
        _require_network("data.example", "mnist", "BY HAND", connect=unreachable)


def test_a_damaged_example_is_told(place, tmp_path):
    import shutil

    shutil.copytree(place, tmp_path / "data")
    (path,) = (tmp_path / "data" / "pixjax_shapes").rglob("*.array_record*")
    data = bytearray(path.read_bytes())
    for start in range(200, len(data), 256):  # all over, past the file's own header
        data[start] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|cannot be opened"):
        open_source(f"tfds:pixjax_shapes:train?dir={tmp_path}/data", canvas_size=16).load(np.arange(10))

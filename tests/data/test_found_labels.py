"""A class is what its owner means by it, however folders, archives and lists of labels came about; or it is refused."""

import io
import json
import unicodedata
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.config import Config, DataConfig, ModelConfig
from pixjax.data import make_batches, open_source
from pixjax.data.labels import describe_classes
from pixjax.data.match_names import match_names
from pixjax.errors import InputError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (value, value, value)).save(file, "PNG")
    return file.getvalue()


CLASSES = {"cats/a.png": png(1), "cats/b.png": png(2), "dogs/a.png": png(3)}


def write(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return f"images:{folder}"


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data if isinstance(data, bytes) else json.dumps(data))
    return f"images:{path}"


def under(folder, files):
    return {f"{folder}/{name}": data for name, data in files.items()}


def labels_of(uri):
    source = open_source(uri, canvas_size=16)
    return {source.name(i): picture.label for i, picture in enumerate(source.load(range(len(source))))}


def classes_of(uri):
    return describe_classes(open_source(uri, canvas_size=16))


BOTH = "2 classes: cats 2, dogs 1"


@pytest.mark.parametrize(
    "files",
    [
        CLASSES,
        {**under("my photos", CLASSES), "__MACOSX/my photos/cats/._a.png": b"x"},
        under("data/train", CLASSES),
        {name.replace("/", "\\"): data for name, data in CLASSES.items()},
        {"cats\\": b"", **{name.replace("/", "\\"): data for name, data in CLASSES.items()}},
        under(".", CLASSES),
    ],
    ids=["plain", "one folder around", "a split around", "backslashes", "a folder with a backslash", "dots"],
)
def test_classes_are_the_folders_below_whatever_is_around_them(tmp_path, files):
    assert classes_of(write_zip(tmp_path / "p.zip", files)) == BOTH
    if not any("\\" in name for name in files):
        assert classes_of(write(tmp_path / "folder", files)) == BOTH


def test_a_folder_around_pictures_alone_is_no_class_of_an_archive_named_like_it(tmp_path):
    pictures = {"a.png": png(1), "b.png": png(2)}
    assert classes_of(write_zip(tmp_path / "photos.zip", under("Photos", pictures))) == ""
    assert classes_of(write(tmp_path / "folder", under("Photos", pictures))) == "1 class: Photos 2"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([["00000/img0.png", 3], ["00000/img1.png", 0], ["00001/img2.png", 3]], [3, 0, 3]),
        ({"00000/img0.png": 3, "00000/img1.png": 0, "00001/img2.png": 3}, [3, 0, 3]),
        (None, [-1, -1, -1]),
    ],
)
@pytest.mark.parametrize("around", ["", "set/"])
def test_dataset_json_of_stylegan_and_edm_has_the_labels_and_null_says_that_folders_are_none(
    tmp_path, labels, expected, around
):
    names = ("00000/img0.png", "00000/img1.png", "00001/img2.png")
    files = {around + name: png(i) for i, name in enumerate(names)} | {f"{around}dataset.json": {"labels": labels}}
    for uri in (write_zip(tmp_path / "p.zip", files), write(tmp_path / "folder", files)):
        assert list(labels_of(uri).values()) == expected


@pytest.mark.parametrize(("here", "there"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_composed_and_decomposed_names_are_the_same_names(tmp_path, here, there):
    lines = [{"file": unicodedata.normalize(there, "é/ü.png"), "label": "x"}, {"file": "b.png", "label": "y"}]
    (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    uri = write_zip(tmp_path / "p.zip", {unicodedata.normalize(here, "é/ü.png"): png(1), "b.png": png(2)})
    assert sorted(labels_of(uri).values()) == [0, 1]


def test_names_in_utf8_that_do_not_say_so_are_read_as_such(tmp_path):
    uri = write_zip(tmp_path / "p.zip", {"é/a.png": png(1), "ü/b.png": png(2)})
    path = tmp_path / "p.zip"
    data = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # as the archiver of macOS writes them
        place = -1
        while (place := data.find(magic, place + 1)) >= 0:
            data[place + flags + 1] &= ~0x08
    path.write_bytes(data)
    assert classes_of(uri) == "2 classes: é 1, ü 1"


@pytest.mark.parametrize("option", ["", "?labels={folder}/other.jsonl"])
def test_labels_of_other_pictures_are_refused_and_may_be_passed_over(tmp_path, option):
    uri = write_zip(tmp_path / "p.zip", CLASSES)
    for name in ("labels.jsonl", "other.jsonl"):
        (tmp_path / name).write_text('{"file": "z.png", "label": 3}')
    with pytest.raises(InputError, match=r"none of the 1 names in .*such as z\.png, .* such as cats/a\.png") as caught:
        open_source(uri + option.format(folder=tmp_path), canvas_size=16)
    assert "\n" not in str(caught.value)
    assert classes_of(uri + "?labels=folders") == BOTH
    assert set(labels_of(uri + "?labels=none").values()) == {-1}


def test_what_a_list_of_labels_lacks_or_has_too_much_is_told(tmp_path):
    lines = [{"file": "cats/a.png", "label": 1}, {"file": "gone.png", "label": 1}]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = open_source(write_zip(tmp_path / "p.zip", CLASSES), canvas_size=16)
    assert source.notes == (
        "2 of 3 pictures have no label in labels.jsonl, the first is cats/b.png",
        "1 of 2 names in labels.jsonl are of no picture, the first is gone.png",
    )
    assert describe_classes(source) == "1 class: 1 1; 2 pictures have none"


def test_two_labels_of_one_picture_are_refused(tmp_path):
    lines = [{"file": "cats/a.png", "label": label} for label in ("x", "y")]
    uri = write(tmp_path / "folder", CLASSES)
    (tmp_path / "folder" / "labels.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(InputError, match=r"cats/a\.png has the label 'x' and the label 'y'"):
        open_source(uri, canvas_size=16)


@pytest.mark.parametrize(
    "files",
    [
        {**under("train", CLASSES), **under("val", CLASSES)},
        {**under("set/train", CLASSES), **under("set/val", CLASSES)},
        {"cats/train/a.png": png(1), "cats/train/b.png": png(2), "dogs/train/a.png": png(3), "cats/val/z.png": png(4)},
        {**under("train", CLASSES), "val/1.png": png(7)},
    ],
    ids=["above the classes", "in a folder", "below the classes", "without classes of its own"],
)
def test_splits_are_no_classes_and_one_has_to_be_named(tmp_path, files):
    for uri in (write_zip(tmp_path / "p.zip", files), write(tmp_path / "folder", files)):
        with pytest.raises(InputError, match=r"holds the splits train/ and val/: add \?split=train .*\?split=all"):
            open_source(uri, canvas_size=16)
        assert classes_of(f"{uri}?split=train") == BOTH
        assert len(open_source(f"{uri}?split=all", canvas_size=16)) == len(files)
        with pytest.raises(InputError, match="there is no split 'test': it has train, val"):
            open_source(f"{uri}?split=test", canvas_size=16)


def test_one_class_in_two_splits_is_one_class(tmp_path):
    uri = write(tmp_path, {**under("train", CLASSES), **under("test", CLASSES)})
    assert classes_of(f"{uri}?split=all") == "2 classes: cats 4, dogs 2"
    assert classes_of(f"{uri}?labels=folders") == "2 classes: test 3, train 3"


def test_a_class_may_be_called_train(tmp_path):
    names = ("bus", "car", "train")
    assert (
        classes_of(write(tmp_path, {f"{name}/1.png": png(1) for name in names})) == "3 classes: bus 1, car 1, train 1"
    )


def test_classes_that_differ_in_case_only_are_told(tmp_path):
    source = open_source(write_zip(tmp_path / "p.zip", {"Cats/a.png": png(1), "cats/b.png": png(2)}), canvas_size=16)
    assert source.notes == ("classes 'Cats' and 'cats' differ in case or spaces only",)


NAMES = st.lists(st.sampled_from("abcé"), min_size=1, max_size=3).map("/".join)


@settings(max_examples=30, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.sampled_from(["", "x/", "./"]), st.booleans())
def test_a_list_that_names_every_picture_matches_every_picture(names, around, decomposed):
    pictures = [f"{name}.png" for name in names]
    listed = [around + unicodedata.normalize("NFD" if decomposed else "NFC", name) for name in pictures]
    assert match_names(pictures, listed) == listed
    assert match_names([f"deep/{name}" for name in pictures], reversed(listed)) == listed


def test_a_name_that_may_mean_two_pictures_means_none():
    assert match_names(["a/1.png", "b/1.png", "b/2.png"], ["1.png", "2.png"]) == [None, None, "2.png"]
    assert match_names(["A.PNG", "a.png"], ["a.png"]) == [None, "a.png"]
    assert match_names(["IMG.JPG", "c.jpg"], ["img.jpg", "c"]) == ["img.jpg", "c"]


def batches_of(*sources, num_classes=3):
    config = Config(
        model=ModelConfig(canvas_size=16, num_classes=num_classes), data=DataConfig(sources=sources, batch_size=4)
    )
    return make_batches(config, CanvasCodec(**config.codec_arguments()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "dogs").rename(folder / "wolves"), "class 'dogs' is now 'wolves'"),
        (lambda folder: (folder / "dogs/a.png").rename(folder / "cats/c.png"), "class 'dogs' is gone"),
        (
            lambda folder: (write(folder, {"bats/x.png": png(1)}), (folder / "cats/b.png").unlink()),
            "class 'bats' is new",
        ),
    ],
    ids=["renamed", "removed", "added"],
)
def test_a_run_does_not_go_on_with_other_classes(tmp_path, change, message):
    uri = write(tmp_path / "set", CLASSES)
    with batches_of(uri) as batches:
        state = json.loads(json.dumps(batches.get_state()))
        assert batches.class_names == ["cats", "dogs"]
        assert batches.notes == [f"{uri}: {BOTH}"]
    assert state["classes"] == [["cats", "dogs"]]
    change(tmp_path / "set")
    older = {name: value for name, value in state.items() if name != "classes"}
    with batches_of(uri) as batches:
        with pytest.raises(InputError, match=message) as caught:
            batches.set_state(state)
        batches.set_state(older)  # of a run that kept no names
    assert "\n" not in str(caught.value)


def test_what_labels_mean_in_a_run_is_told(tmp_path):
    one, other = (
        write(tmp_path / "one", CLASSES),
        write(tmp_path / "other", {"dogs/1.png": png(1), "emus/2.png": png(2)}),
    )
    with batches_of(one, other, num_classes=4) as batches:
        assert batches.class_names == ["cats", "dogs", "dogs", "emus"]
        assert f"class 'dogs' of {other} and of {one} are two classes of this run" in batches.notes
    with batches_of(write(tmp_path / "none", {"1.png": png(1)})) as batches:
        assert batches.notes == ["model.num_classes=3, and no source has labels: no class will be learned"]

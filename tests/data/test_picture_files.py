import importlib.util
import io
import json
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from pixjax.data.images import BadImage
from pixjax.data.sources import open_source
from pixjax.errors import InputError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (value, value, value)).save(file, "PNG")
    return file.getvalue()


FILES = {"dogs/b.png": png(30), "cats/a.png": png(20), "cats/deep/c.PNG": png(40)}


@pytest.fixture(params=["folder", "stored zip", "deflated zip"])
def place(request, tmp_path):
    if request.param == "folder":
        for name, data in FILES.items():
            (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pictures" / name).write_bytes(data)
        (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
        (tmp_path / "pictures" / ".DS_Store").write_text("nor this")
        return tmp_path / "pictures"
    method = zipfile.ZIP_STORED if request.param == "stored zip" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w", method) as archive:
        archive.writestr("notes.txt", "not a picture")
        archive.writestr("__MACOSX/cats/._a.png", "nor this")
        for name, data in FILES.items():
            archive.writestr(name, data)
    return tmp_path / "pictures.zip"


def test_folder_and_zip_give_the_same_pictures_and_labels_by_sub_folder(place):
    source = open_source(f"images:{place}", canvas_size=16)
    assert [source.name(i) for i in range(len(source))] == sorted(FILES)
    pictures = source.load(range(3))
    assert [int(p.pixels.mean()) for p in pictures] == [20, 40, 30]
    assert [p.label for p in pictures] == [0, 0, 1]
    assert source.num_labels == 2


def test_a_source_reads_the_same_after_a_journey_to_another_process(place):
    source = open_source(f"images:{place}", canvas_size=16)
    there = pickle.loads(pickle.dumps(source))
    assert all((a.pixels == b.pixels).all() for a, b in zip(source.load(range(3)), there.load(range(3)), strict=True))


@pytest.mark.parametrize(
    ("key", "values", "labels"),
    [
        ("label", {"cats/a.png": 7, "b.png": 0}, [7, -1, 0]),
        ("wnid", {"cats/a.png": "n02", "dogs/b.png": "n01", "c.PNG": "n02"}, [1, 1, 0]),
    ],
)
@pytest.mark.parametrize("beside", ["pictures.jsonl", "labels.jsonl"])
def test_labels_come_from_a_jsonl_beside_the_zip(tmp_path, key, values, labels, beside):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    lines = (json.dumps({"file": file, key: value}) for file, value in values.items())
    (tmp_path / beside).write_text("\n".join(lines))
    source = open_source(f"images:{tmp_path}/pictures.zip", canvas_size=16)
    assert [p.label for p in source.load(range(3))] == labels


def test_pictures_without_folders_have_no_label(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    source = open_source(f"images:{tmp_path}", canvas_size=16)
    assert (source.num_labels, source.load([0])[0].label) == (0, -1)


def test_a_damaged_archive_member_is_a_bad_image_and_its_neighbours_are_read(tmp_path):
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.index(FILES["cats/a.png"]) + 60] ^= 1
    path.write_bytes(data)
    first, *others = open_source(f"images:{path}", canvas_size=16).load(range(3))
    assert isinstance(first, BadImage)
    assert first.cause == "corrupt"
    assert not any(isinstance(other, BadImage) for other in others)


def test_a_file_that_went_away_is_missing(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(1))
    source = open_source(f"images:{tmp_path}", canvas_size=16)
    (tmp_path / "a.png").unlink()
    first, second = source.load([0, 1])
    assert isinstance(first, BadImage)
    assert first.cause == "missing"
    assert second.pixels.shape == (16, 16, 3)


def test_wrong_places_are_named_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "labels.jsonl").write_text('{"label": 1}')
    (tmp_path / "latin.jsonl").write_bytes('{"file": "é.png", "label": 1, "caption": "é"}'.encode("latin-1"))
    (tmp_path / "of [2024]").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes(png(1))
    for uri, message in {
        f"images:{tmp_path}/nothing": "does not exist",
        f"images:{tmp_path}/of [2024]/nothing": "does not exist",
        f"images:{tmp_path}/of [2024]/nothing*": "matches no file",
        f"images:{tmp_path}/empty": "is empty",
        f"images:{tmp_path}/broken.zip": "neither a folder nor a whole zip or tar archive",
        f"images:{tmp_path}/one?labels={tmp_path}/no.jsonl": "does not exist",
        f"images:{tmp_path}/one?labels={tmp_path}/labels.jsonl": "line 1 is not a JSON object with",
        f"images:{tmp_path}/one?labels={tmp_path}/latin.jsonl": "latin.jsonl is not UTF-8 text: byte 10 ",
        f"captions:{tmp_path}/one?captions={tmp_path}/latin.jsonl": "latin.jsonl is not UTF-8 text: byte 10 ",
        f"images:{tmp_path}/one?colour=red": "option 'colour'.*is unknown",
        "pictures:x": "is not one of",
        "images:": "is not one of",
        "demo:sounds": "does not exist",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            open_source(uri, canvas_size=16)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [64, 16])
def test_demo_views_show_every_photograph_about_equally_often(size):
    source = open_source("demo:images", canvas_size=size)
    pictures = source.load(range(len(source)))
    assert {p.pixels.shape for p in pictures} == {(size, size, 3)}
    counts = np.bincount([p.label for p in pictures])
    assert len(counts) == 6
    assert counts.max() < 3 * counts.min()


def test_the_first_demo_view_is_the_whole_photograph():
    source = open_source("demo:images", canvas_size=32)
    folder = pathlib.Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    astronaut = Image.open(folder / "astronaut.png").resize((32, 32), Image.Resampling.BICUBIC)  # a square
    np.testing.assert_array_equal(source.load([0])[0].pixels, np.asarray(astronaut))

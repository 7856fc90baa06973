import io
import json
import zipfile

import pytest
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.data import open_source
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.errors import InputError


def picture(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20, 16), (value, value, value)).save(file, "PNG")
    return file.getvalue()


PICTURES = {"a.png": picture(10), "b.png": picture(20)}


def in_folder(tmp_path, texts=None, jsonl=None, pictures=PICTURES):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in {**pictures, **{k: v.encode() for k, v in (texts or {}).items()}}.items():
        (folder / name).write_bytes(data)
    if jsonl is not None:
        (folder / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in jsonl))
    return f"captions:{folder}"


def captions_of(uri):
    source = open_source(uri, canvas_size=16)
    return {source.name(i): picture.captions for i, picture in enumerate(source.load(range(len(source))))}


LINES = [{"file": "a.png", "captions": ["one", "two"]}, {"file": "b.png", "caption": "alone"}]
EXPECTED = {"a.png": ("one", "two"), "b.png": ("alone",)}


def test_captions_stand_in_texts_beside_the_pictures(tmp_path):
    uri = in_folder(tmp_path, texts={"a.txt": "one\n\n two \n", "b.txt": "alone"})
    assert captions_of(uri) == EXPECTED


def test_captions_stand_in_a_jsonl_in_the_folder(tmp_path):
    assert captions_of(in_folder(tmp_path, jsonl=LINES)) == EXPECTED


@pytest.mark.parametrize("beside", ["captions.jsonl", "set.jsonl"])
def test_captions_stand_in_a_jsonl_beside_a_zip(tmp_path, beside):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, data in PICTURES.items():
            archive.writestr(f"deep/{name}", data)
    (tmp_path / beside).write_text("".join(json.dumps(line) + "\n" for line in LINES))
    assert captions_of(f"captions:{tmp_path}/set.zip") == {f"deep/{k}": v for k, v in EXPECTED.items()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"texts": {"a.txt": "one"}}, "1 of 2 pictures have no caption, the first is b.png"),
        ({"texts": {"a.txt": "one", "b.txt": "\n"}}, "1 of 2 pictures have no caption, the first is b.png"),
        ({"texts": {"a.txt": "x", "b.txt": "x", "c.txt": "x"}}, "1 captions have no picture, the first is that of c"),
        ({"jsonl": [*LINES, {"file": "c.png", "caption": "x"}]}, "1 captions have no picture.*c.png"),
        ({}, "2 pictures and no captions: add captions.jsonl, or use images:"),
        ({"jsonl": LINES, "pictures": {}}, "is empty"),
        ({"jsonl": [{"file": "a.png", "captions": [3]}]}, "has neither 'captions', a list of texts, nor 'caption'"),
        ({"jsonl": [{"captions": ["x"]}]}, "line 1 is not a JSON object with the key 'file'"),
    ],
)
def test_what_is_alone_or_malformed_is_named_in_one_line(tmp_path, options, message):
    with pytest.raises(InputError, match=message) as caught:
        captions_of(in_folder(tmp_path, **options))
    assert "\n" not in str(caught.value)


def test_captions_are_kept_when_prepared(tmp_path):
    uri = in_folder(tmp_path, jsonl=LINES)
    codec = CanvasCodec(canvas_size=16)
    manifest = prepare(plan_preparation(uri, str(tmp_path / "out"), canvas_size=16, codec=codec))
    assert manifest.recipe.kind == "captions"
    prepared = open_source(f"array_record:{tmp_path}/out", canvas_size=16)
    assert [p.captions for p in prepared.load(range(2))] == list(EXPECTED.values())


def test_every_flickr8k_picture_has_its_five_captions(shared_data):
    captions = captions_of(f"captions:{shared_data}/images/flickr8k/images.zip")
    assert len(captions) == 850
    assert {len(of_picture) for of_picture in captions.values()} == {5}
    assert captions["1001773457_577c3a7d70.jpg"][0] == "A black dog and a spotted dog are fighting"

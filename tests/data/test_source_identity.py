"""A source is what it holds: the same elsewhere, another where a byte of it is."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.data import open_source
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.source_identity import changed_content, digest, moved_sources, sampled, source_state
from pixjax.errors import InputError

CODEC = CanvasCodec(canvas_size=16)


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "here"
    rng = np.random.default_rng(0)
    for name in ("cats/0.png", "cats/1.png", "dogs/0.png"):
        (folder / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / "pictures" / name)
    (folder / "a.txt").write_text("a text " * 100)
    captions = [{"file": name, "caption": f"a {name}"} for name in ("cats/0.png", "cats/1.png", "dogs/0.png")]
    (folder / "captions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in captions))
    pair = {"prompt": {"image": "pictures/cats/0.png"}, "answer": "a cat"}
    (folder / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    with zipfile.ZipFile(folder / "pictures.zip", "w") as archive:
        for name in ("cats/0.png", "cats/1.png", "dogs/0.png"):
            archive.write(folder / "pictures" / name, name)
    prepare(plan_preparation(f"text:{folder}/a.txt", str(folder / "shards"), canvas_size=16, codec=CODEC))
    prepare(plan_preparation(f"images:{folder}/pictures", str(folder / "picture shards"), canvas_size=16))
    return folder


def state(folder, uri):
    uri = uri.format(folder)
    context = 1 if uri.startswith(("pairs", "captions")) else 0
    return source_state([open_source(uri, canvas_size=16, codec=CODEC, context_canvases=context)])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("uri", "changed"),
    [
        ("text:{}/*.txt", "a.txt"),
        ("images:{}/pictures", "pictures/cats/1.png"),
        ("images:{}/pictures.zip", None),
        ("captions:{}/pictures?captions={0}/captions.jsonl", "pictures/dogs/0.png"),
        ("pairs:{}/pairs.jsonl", "pictures/cats/0.png"),
        ("array_record:{}/shards", None),
        ("array_record:{}/picture shards/*", None),
    ],
)
def test_a_source_is_the_same_elsewhere_and_another_with_other_content(place, tmp_path, uri, changed):
    uri = uri.replace("{}", "{0}")
    saved = json.loads(json.dumps(state(place, uri)))
    shutil.move(place, elsewhere := tmp_path / "[2] there")
    now = state(elsewhere, uri)
    assert moved_sources(saved, now) == {uri.format(place): uri.format(elsewhere)}
    assert moved_sources(now, now) == {}
    if changed is None:  # these have checksums of their own, which a flipped byte contradicts
        return
    flip(elsewhere / changed)
    other = state(elsewhere, uri)
    with pytest.raises(InputError, match=r"has other content than .* had when the run was saved"):
        moved_sources(saved, other)
    assert moved_sources(now, other) == {}  # under the same path a picture may have been mended
    assert changed_content(now, other) == [uri.format(elsewhere)]


def test_labels_and_archives_count(place, tmp_path):
    images = f"images:{place}/pictures"
    saved = state(place, images)
    (place / "pictures" / "cats").rename(place / "pictures" / "eels")
    assert changed_content(saved, state(place, images)) == [images]
    zipped = f"images:{place}/pictures.zip"
    saved = state(place, zipped)
    with zipfile.ZipFile(place / "pictures.zip", "w") as archive:
        for name, file in (("cats/0.png", "eels/1.png"), ("cats/1.png", "eels/0.png"), ("dogs/0.png", "dogs/0.png")):
            archive.write(place / "pictures" / file, name)
    assert changed_content(saved, state(place, zipped)) == [zipped]


def test_a_run_without_fingerprints_goes_on_under_the_same_path_alone(place, tmp_path):
    now = state(place, "text:{0}/*.txt")
    (uri,) = now
    before = {uri: {key: count for key, count in now[uri].items() if key != "content"}}
    assert moved_sources(before, now) == {}
    with pytest.raises(InputError, match=r"text:/else\.txt was a source and is none now of the run"):
        moved_sources({"text:/else.txt": before[uri]}, now)


def test_sources_in_another_order_are_refused(place):
    text, images = state(place, "text:{0}/*.txt"), state(place, "images:{0}/pictures")
    with pytest.raises(InputError, match=r"images:.* has other content than text:"):
        moved_sources(text | images, images | text)


def test_parts_of_a_digest_do_not_run_together():
    assert digest(["ab", "c"]) != digest(["a", "bc"]) != digest(["a", "bc", ""])
    assert sampled(3) == [0, 1, 2]
    assert len(set(sampled(10**6))) == 64
    assert {0, 10**6 - 1} <= set(sampled(10**6))

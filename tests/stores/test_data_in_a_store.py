"""Sources, prepared shards and tokenizers in a bucket are those of a disk."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from pixjax import stores
from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.codec.subword import train_bpe
from pixjax.data import make_batches, open_source
from pixjax.errors import InputError
from pixjax.paths import user_path


@pytest.fixture
def disk(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    (tmp_path / "texts" / "a.txt").write_text("the quick brown fox " * 40)
    (tmp_path / "texts" / "deep" / "b.txt").write_text("jumps over the lazy dog " * 40)
    for i in range(6):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (16, 20, 3), np.uint8)).save(file, "PNG")
        for name in (f"photos/{'cat' if i % 2 else 'dog'}/{i}.png", f"captioned/{i}.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(file.getvalue())
    lines = [json.dumps({"file": f"{i}.png", "caption": f"picture {i}"}) for i in range(6)]
    (tmp_path / "captioned" / "captions.jsonl").write_text("\n".join(lines))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted((tmp_path / "photos").rglob("*.png")):
            archive.write(path, path.relative_to(tmp_path / "photos"))
    (tmp_path / "tok.json").write_bytes(train_bpe(["the quick brown fox jumps over the lazy dog " * 20], 262))
    return tmp_path


def test_what_is_read_from_a_store_is_what_is_on_a_disk(bucket, disk, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = f"{bucket.address}/data"
    for path in sorted(disk.rglob("*")):
        if path.is_file():
            (user_path(place) / str(path.relative_to(disk))).write_bytes(path.read_bytes())

    def prepared(root):
        source, out = f"--source=images:{root}/photos", f"--out={root}/shards"
        assert main(["prepare", source, out, "--canvas-size=16", "--workers=1"]) == 0
        return f"array_record:{root}/shards"

    def drawn(root, *sources, tokenizer="bytes"):
        data = {"sources": [source.replace("@", str(root)) for source in sources], "workers": 0}
        codec = {"tokenizer": tokenizer.replace("@", str(root)), "normalize": False, "code": "radix:auto:1"}
        config = tiny_config(data=data, codec=codec)
        with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
            return [next(batches) for _ in range(2)]

    for sources, tokenizer in (
        (("text:@/texts", "images:@/photos"), "bytes"),
        (("text:@/texts/*.txt", "images:@/photos.zip"), "@/tok.json"),
    ):
        for there, here in zip(
            drawn(place, *sources, tokenizer=tokenizer), drawn(disk, *sources, tokenizer=tokenizer), strict=True
        ):
            assert all(np.array_equal(there[name], here[name]) for name in here)

    for uri in (prepared, lambda root: f"captions:{root}/captioned"):
        there, here = (open_source(uri(root), canvas_size=16) for root in (place, disk))
        assert len(there) == len(here) == 6
        for first, second in zip(there.load(range(6)), here.load(range(6)), strict=True):
            np.testing.assert_array_equal(first.pixels, second.pixels)
            assert (first.label, first.captions) == (second.label, second.captions)


def test_a_bucket_of_s3_that_is_not_there_is_one_line(s3):
    stores._ask.cache_clear()
    with pytest.raises(InputError, match="the bucket s3://not-there does not exist: create it"):
        open_source("images:s3://not-there/photos", canvas_size=16)

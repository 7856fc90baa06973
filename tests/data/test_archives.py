"""Pictures lie in folders with loops, in odd zips and in tars; each is read, or counted, or refused in one line."""

import collections
import io
import itertools
import json
import os
import pickle
import tarfile
import warnings
import zipfile

import pytest
from PIL import Image

from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.config import Config, DataConfig, ModelConfig
from pixjax.data import make_batches, open_source
from pixjax.data.images import BadImage
from pixjax.data.labels import describe_classes
from pixjax.errors import InputError, RunError


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def write_tar(path, members):
    """Members are bytes, or a tar link: (type, target)."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(data, tuple):
                member.type, member.linkname = data
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def opened(place, scheme="images"):
    return open_source(f"{scheme}:{place}", canvas_size=16)


def greys_and_labels(source):
    return [(int(p.pixels.mean()), p.label) for p in source.load(range(len(source)))]


def refused(place):
    with pytest.raises(InputError) as caught:
        opened(place)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Webdataset


def sample(key, grey, **sides):
    return {f"{key}.png": png(grey)} | {f"{key}.{ending}": text.encode() for ending, text in sides.items()}


def test_shards_of_webdataset_have_labels_and_captions_by_key(tmp_path):
    write_tar(tmp_path / "s-0.tar", sample("000", 10, cls="2", txt="ten") | sample("001", 11, cls="0", txt="eleven"))
    write_tar(tmp_path / "s-1.tar", sample("000", 20, cls="1", txt="twenty"))
    source = opened(f"{tmp_path}/s-*.tar")
    assert greys_and_labels(source) == [(10, 2), (11, 0), (20, 1)]
    assert source.name(2) == "s-1.tar/000.png"
    assert greys_and_labels(pickle.loads(pickle.dumps(source))) == [(10, 2), (11, 0), (20, 1)]
    captions = opened(f"{tmp_path}/s-*.tar", "captions")
    assert captions.captions == (("ten",), ("eleven",), ("twenty",))


def test_a_sample_may_have_its_label_and_caption_in_json_and_further_pictures(tmp_path):
    write_tar(
        tmp_path / "s.tar",
        sample("a.b/7", 7, json=json.dumps({"label": "x", "caption": "seven"}))
        | {"a.b/7.seg.png": png(99), "a.b/8.png": png(8), "a.b/8.json": b'{"label": "y", "caption": "eight"}'},
    )
    source = opened(tmp_path / "s.tar")
    assert greys_and_labels(source) == [(7, 0), (8, 1)]
    assert describe_classes(source) == "2 classes: x 1, y 1"
    assert source.notes == ("1 files are no pictures and are left out: 1 further pictures of a sample",)
    assert opened(tmp_path / "s.tar", "captions").captions == (("seven",), ("eight",))


def test_a_tar_of_a_folder_is_read_like_the_folder(tmp_path):
    for name, grey in {"cats/1.png": 1, "cats/IMG.2.png": 2, "dogs/3.png": 3}.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(png(grey))
    os.symlink("../dogs/3.png", tmp_path / "set" / "cats" / "linked.png")
    os.symlink("/etc/hostname", tmp_path / "set" / "cats" / "outside.png")
    os.link(tmp_path / "set" / "dogs" / "3.png", tmp_path / "set" / "dogs" / "hard.png")
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        archive.add(tmp_path / "set", "./set")
    source = opened(tmp_path / "some.tar")
    assert greys_and_labels(source) == [(1, 0), (2, 0), (3, 0), (3, 1), (3, 1)]
    assert describe_classes(source) == "2 classes: cats 3, dogs 2"


def test_of_members_with_one_name_the_last_counts(tmp_path):
    write_tar(tmp_path / "p.tar", {"a.png": png(1), "b.png": png(2)})
    with tarfile.open(tmp_path / "p.tar", "a") as archive:
        (member := tarfile.TarInfo("a.png")).size = len(png(3))
        archive.addfile(member, io.BytesIO(png(3)))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, grey in (("a.png", 1), ("b.png", 2), ("a.png", 3)):
            archive.writestr(name, png(grey))
    for path in ("p.tar", "p.zip"):
        assert greys_and_labels(opened(tmp_path / path)) == [(3, -1), (2, -1)]


def test_a_tar_that_is_cut_off_damaged_or_compressed_is_refused(tmp_path):
    write_tar(tmp_path / "p.tar", {"a.png": png(1), "b.png": png(2)})
    data = (tmp_path / "p.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(data[:1100])
    (tmp_path / "short.tar").write_bytes(data[:520])
    damaged = bytearray(data)
    damaged[damaged.index(b"b.png") + 5] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "p.tar", "a.png")
    assert "is no whole tar archive (damaged at byte 1,024)" in refused(tmp_path / "cut.tar")
    assert "is no whole tar archive (unexpected end of data)" in refused(tmp_path / "short.tar")
    assert "is no whole tar archive (damaged at byte 1,024)" in refused(tmp_path / "damaged.tar")
    assert "is compressed as a whole (gzip)" in refused(tmp_path / "p.tar.gz")


# Zip


def encrypted(path, *names):
    """Sets the flag of these members, which is all that a reader without the password sees of them."""
    data = bytearray(path.read_bytes())
    for magic, flags, length, name_at in ((b"PK\x03\x04", 6, 26, 30), (b"PK\x01\x02", 8, 28, 46)):
        place = -1
        while (place := data.find(magic, place + 1)) >= 0:
            size = int.from_bytes(data[place + length : place + length + 2], "little")
            if data[place + name_at : place + name_at + size].decode() in names:
                data[place + flags] |= 1
    path.write_bytes(data)


def test_encrypted_members_are_bad_pictures_and_an_encrypted_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name, grey in (("a.png", 1), ("b.png", 2)):
            archive.writestr(name, png(grey))
    encrypted(tmp_path / "p.zip", "a.png")
    first, second = opened(tmp_path / "p.zip").load([0, 1])
    assert isinstance(first, BadImage)
    assert (first.cause, first.detail) == ("corrupt", "a.png: encrypted")
    assert int(second.pixels.mean()) == 2
    encrypted(tmp_path / "p.zip", "b.png")
    assert "is encrypted: unpack it with its password" in refused(tmp_path / "p.zip")


def test_a_damaged_deflated_member_is_a_bad_picture(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(range(256)) * 40)
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[35:60] = b"\xff" * 25  # the deflated bytes
    (tmp_path / "p.zip").write_bytes(data)
    (bad,) = opened(tmp_path / "p.zip").load([0])
    assert isinstance(bad, BadImage)
    assert bad.cause == "corrupt"


# Folders


def test_a_link_to_a_folder_above_is_not_entered_and_two_links_to_one_folder_are(tmp_path):
    (tmp_path / "set" / "cats" / "deep").mkdir(parents=True)
    (tmp_path / "set" / "cats" / "deep" / "1.png").write_bytes(png(1))
    os.symlink(".", tmp_path / "set" / "self")
    os.symlink("../..", tmp_path / "set" / "cats" / "deep" / "up")
    os.symlink("../..", tmp_path / "set" / "outside")
    (tmp_path / "beside.png").write_bytes(png(1))
    os.symlink("cats", tmp_path / "set" / "kittens")
    os.symlink("nowhere.png", tmp_path / "set" / "cats" / "gone.png")
    os.symlink("itself.png", tmp_path / "set" / "cats" / "itself.png")
    os.mkfifo(tmp_path / "set" / "cats" / "pipe.png")
    source = opened(tmp_path / "set")
    names = [source.name(record) for record in range(len(source))]
    each = ("deep/1.png", "gone.png", "itself.png")
    assert names == [f"{folder}/{name}" for folder in ("cats", "kittens") for name in each]
    assert [getattr(p, "cause", "") for p in source.load([0, 1])] == ["", "missing"]


def test_what_is_no_picture_by_its_kind_is_left_out_and_told(tmp_path):
    kinds = ("Thumbs.db", "desktop.ini", "IMG_1.AAE", "IMG_1.MOV", "README", "list.csv", "a.xmp")
    hidden = (".DS_Store", "._a.png", "__MACOSX/a.png", "@eaDir/a.png", ".git/x.png")
    for name in (*kinds, *hidden):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert "is empty: it holds no picture, and 7 other files (" in refused(tmp_path)
    write_tar(tmp_path / "s.tar", {"a.png": png(1)})
    assert "; add /*.tar to read its archives" in refused(tmp_path)
    (tmp_path / "s.tar").unlink()
    for name in ("a.png", "5f3e", "broken.jpg"):  # a hash is a common name of a picture
        (tmp_path / name).write_bytes(png(1))
    source = opened(tmp_path)
    assert [source.name(i) for i in range(len(source))] == ["5f3e", "a.png", "broken.jpg"]
    assert source.notes[0].startswith("7 files are no pictures and are left out: ")
    assert "1 .mov" in source.notes[0]


# HEIC


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 100


@pytest.fixture
def without_heif(monkeypatch):
    from pixjax.data import images

    known = tuple(name for name in images._formats() if name != "HEIF")
    monkeypatch.setattr(images, "_formats", lambda: known)


def test_heic_without_its_library_is_counted_and_told(tmp_path, without_heif):
    (tmp_path / "a.HEIC").write_bytes(HEIC)
    assert "has 1 pictures, and HEIC needs pillow-heif: pip install 'pixjax[heif]'" in refused(tmp_path)
    for name in ("b.HEIC", "c"):
        (tmp_path / name).write_bytes(HEIC)
    (tmp_path / "d.png").write_bytes(png(1))
    source = opened(tmp_path)
    need = "HEIC needs pillow-heif: pip install 'pixjax[heif]'"
    assert source.notes == (f"2 of 4 pictures cannot be decoded and will be skipped: {need}",)
    assert [getattr(p, "detail", "") for p in source.load(range(4))] == [need, need, need, ""]
    config = Config(
        model=ModelConfig(canvas_size=16),
        data=DataConfig(sources=(f"images:{tmp_path}",), batch_size=4, max_bad_fraction=0.1),
    )
    batches = make_batches(config, CanvasCodec(**config.codec_arguments()))
    with batches, pytest.raises(RunError, match=r"pixjax\[heif\]"):
        collections.deque(itertools.islice(batches, 20))


def test_heic_is_read_with_its_library(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="no pillow-heif: pip install 'pixjax[heif]'")
    heif.register_heif_opener()
    Image.new("RGB", (32, 16), (200, 10, 10)).save(tmp_path / "a.HEIC", "HEIF")
    (picture,) = opened(tmp_path).load([0])
    assert picture.pixels.shape == (16, 32, 3)
    assert picture.pixels[8, 8, 0] > 180


# Names that are not UTF-8


def test_names_that_are_not_utf8_work_from_preview_to_prepare(tmp_path, capsys, caplog):
    folder = os.fsencode(tmp_path / "set")
    try:
        os.makedirs(folder + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    for name, data in {b"1\xff.png": png(1), b"2.png": png(2), b"bad\xfe.png": b"x"}.items():
        with open(folder + b"/caf\xe9/" + name, "wb") as file:
            file.write(data)
    options = ["--config=demo", f"--config.data.sources=images:{tmp_path}/set", "--config.data.max_bad_fraction=1"]
    assert main(["data", "preview", *options, f"--out={tmp_path}/preview", "--num=4"]) == 0
    assert r"1 class: caf\xe9 3" in capsys.readouterr().out
    common = [f"--source=images:{tmp_path}/set", f"--out={tmp_path}/shards", "--canvas-size=16", "--workers=1"]
    assert main(["prepare", *common]) == 0
    printed = capsys.readouterr()
    assert r"skipped caf\xe9/bad\xfe.png (unreadable" in printed.err
    assert r"1 class: caf\xe9 2" in printed.out
    source = opened(f"{tmp_path}/shards", "array_record")
    assert (len(source), source.class_names) == (2, (r"caf\xe9",))
    config = Config(
        model=ModelConfig(canvas_size=16),
        data=DataConfig(sources=(f"images:{tmp_path}/set",), batch_size=8, max_bad_fraction=1),
    )
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        next(batches)
        json.dumps(batches.get_state()).encode()
    assert r"skipped caf\xe9/bad\xfe.png" in caplog.text

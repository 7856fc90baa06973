"""Prepared shards hold what the source holds, whole or not at all, whoever made them."""

import hashlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, ModelConfig
from pixjax.data import make_batches, open_source
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import make_shard, prepare
from pixjax.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")

CODEC = CanvasCodec(canvas_size=16)


def write_pictures(folder: pathlib.Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        (folder / str(number % 3)).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (int(rng.integers(16, 40)), 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / str(number % 3) / f"{number:03}.png")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A folder of pictures, and texts of very different lengths."""
    folder = tmp_path_factory.mktemp("material")
    write_pictures(folder / "pictures", 23)
    rng = np.random.default_rng(1)
    for number, length in enumerate((10, 5000, 0, 300, 700, 1, 2500)):
        (folder / f"{number}.txt").write_text("".join(rng.choice(list("etaoin shrdlu\n"), length)))
    lines = [json.dumps({"text": "line " * k}) + "\n" for k in range(30)]
    (folder / "lines.jsonl").write_text("".join(lines))
    return {"images": f"images:{folder}/pictures", "text": f"text:{folder}/*.*"}


def prepare_at(source, out, *, shards=4, workers=0, canvas_size=16, **options):
    plan = plan_preparation(source, str(out), canvas_size=canvas_size, codec=CODEC, shards=shards)
    return prepare(plan, workers=workers, **options)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def batches_of(*sources, steps=8, **codec):
    config = Config(
        model=ModelConfig(canvas_size=16), codec=CodecConfig(**codec), data=DataConfig(sources=sources, batch_size=9)
    )
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        return [hashlib.sha256(next(batches)["canvas"].tobytes()).hexdigest() for _ in range(steps)]


@pytest.mark.parametrize("kind", ["images", "text"])
@pytest.mark.parametrize("shards", [1, 4, 9])
def test_training_sees_the_same_bytes_from_shards_as_from_the_source(material, tmp_path, kind, shards):
    prepare_at(material[kind], tmp_path / "shards", shards=shards)
    assert batches_of(f"array_record:{tmp_path}/shards") == batches_of(material[kind])


def test_shards_of_text_serve_any_colours_layout_and_capacity(material, tmp_path):
    prepare_at(material["text"], tmp_path / "shards")
    other = {"code": "radix:7:3", "layout": "patch"}
    assert batches_of(f"array_record:{tmp_path}/shards", **other) == batches_of(material["text"], **other)


@pytest.mark.parametrize("kind", ["images", "text"])
def test_the_number_of_processes_changes_no_byte(material, tmp_path, kind):
    for workers in (0, 2):
        prepare_at(material[kind], tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


def test_shards_of_any_lengths_hold_the_whole_ring_of_the_source(tmp_path):
    rng = np.random.default_rng(2)
    lengths = [50] * 4 + [3000] + [50] * 60  # the first shard is one short record, a later one has several
    texts = ["".join(rng.choice(list("etaoin shrdlu"), length - 1)) for length in lengths]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    prepare_at(f"text:{tmp_path}/texts.jsonl", tmp_path / "shards", shards=64)
    here = open_source(f"text:{tmp_path}/texts.jsonl", canvas_size=16, codec=CODEC).tokens
    prepared = open_source(f"array_record:{tmp_path}/shards", canvas_size=16, codec=CODEC).tokens
    assert len(prepared) == len(here) == sum(lengths)
    assert np.array_equal(prepared.read([(0, len(here))])[0], here.ids)


def test_the_manifest_tells_what_was_made(material, tmp_path):
    prepare_at(material["images"], tmp_path / "images")
    prepare_at(material["text"], tmp_path / "text")
    images, text = (json.loads((tmp_path / kind / "manifest.json").read_text()) for kind in ("images", "text"))
    assert (images["num_records"], images["num_skipped"], images["num_labels"]) == (23, 0, 3)
    assert images["source"] == material["images"]
    assert "antialiased" in images["resize"]
    assert text["num_tokens"] == len(open_source(material["text"], canvas_size=16, codec=CODEC).tokens)
    assert text["codec"] == CODEC.to_dict()
    for manifest, kind in ((images, "images"), (text, "text")):
        for shard in manifest["shards"]:
            data = (tmp_path / kind / shard["file"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["num_bytes"], shard["sha256"])
        assert {path.name for path in (tmp_path / kind).iterdir()} == {
            "manifest.json",
            *(shard["file"] for shard in manifest["shards"]),
        }


def test_what_cannot_be_decoded_is_left_out_counted_and_named(tmp_path):
    write_pictures(tmp_path / "pictures", 12)
    (tmp_path / "pictures" / "1" / "004.png").write_bytes(b"broken")
    manifest = prepare_at(f"images:{tmp_path}/pictures", tmp_path / "shards").to_dict()
    assert (manifest["num_records"], manifest["num_skipped"]) == (11, 1)
    assert manifest["skipped"] == {"unreadable": 1}
    assert [entry[:2] for shard in manifest["shards"] for entry in shard["skipped"]] == [("1/004.png", "unreadable")]
    assert len(open_source(f"array_record:{tmp_path}/shards", canvas_size=16)) == 11


def test_shards_of_one_file_read_it_once_altogether(tmp_path, monkeypatch):
    lines = [json.dumps({"text": f"{i:03} " * 40}) + "\n" for i in range(300)]
    (tmp_path / "lines.jsonl").write_text("".join(lines))
    plan = plan_preparation(f"text:{tmp_path}/lines.jsonl", str(tmp_path / "shards"), codec=CODEC, shards=30)
    parsed, loads = [], json.loads
    monkeypatch.setattr("pixjax.data.row_formats.json.loads", lambda line: (parsed.append(line), loads(line))[1])
    prepare(plan)
    assert 300 <= sum("text" in str(line)[:10] for line in parsed) <= 300 + 30


def test_a_second_run_makes_only_what_is_missing_or_damaged(material, tmp_path):
    prepare_at(material["images"], tmp_path / "whole")
    plan = plan_preparation(material["images"], str(tmp_path / "shards"), canvas_size=16, shards=4)
    prepare(plan)
    first, second, third, _ = sorted(tmp_path.glob("shards/*.array_record"))
    first.unlink()
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    untouched = third.stat().st_mtime_ns
    made = []
    prepare(plan, report=made.append)
    assert [shard.file for shard in made] == [first.name, second.name]
    assert third.stat().st_mtime_ns == untouched
    assert contents(tmp_path / "shards") == contents(tmp_path / "whole")


KILLED_AFTER_FIVE = """
import builtins, os, signal, sys

told, tell = [], print

def watched(*words, **options):
    tell(*words, **options)
    told.append(words)
    if sum("records" in str(line) for line in told) == 5:
        os.killpg(0, signal.SIGKILL)

builtins.print = watched
"""


def test_a_killed_run_goes_on_and_shows_no_half_written_shard(tmp_path):
    write_pictures(tmp_path / "pictures", 400)
    source, out = f"images:{tmp_path}/pictures", tmp_path / "shards"
    root = str(pathlib.Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    options = [f"--source={source}", f"--out={out}", "--canvas-size=16", "--shards=100", "--workers=1"]
    script = "from pixjax.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", f"import sys; {script}", "prepare", *options]
    killed = [sys.executable, "-c", KILLED_AFTER_FIVE + script, "prepare", *options]
    run = subprocess.Popen(killed, env=environment, start_new_session=True)
    assert run.wait(timeout=300) == -signal.SIGKILL
    begun = {path.name: path.stat().st_mtime_ns for path in out.glob("*.array_record")}
    assert len(begun) >= 5
    with pytest.raises(InputError, match=r"no manifest\.json.*let it finish"):
        open_source(f"array_record:{out}", canvas_size=16)

    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert finished.stderr.count("records") >= 100 - len(begun)
    prepare_at(source, tmp_path / "whole", shards=100)
    assert {n: d for n, d in contents(out).items() if not n.startswith(".")} == contents(tmp_path / "whole")
    # The last shard may have been finished and not yet noted when the run was killed; all others stay.
    assert sum((out / name).stat().st_mtime_ns == time_ for name, time_ in begun.items()) >= len(begun) - 1


def flip(path: pathlib.Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


@pytest.mark.usefixtures("heard_hangups")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_a_signal_ends_it_after_the_shard_in_work_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys, name):
    def interrupted(job, number):
        os.kill(os.getpid(), getattr(signal, name))
        return make_shard(job, number)

    command = ["prepare", "--source=demo:text", f"--out={tmp_path}", "--shards=3", "--workers=1"]
    with monkeypatch.context() as patch:
        patch.setattr("pixjax.data.prepare.make_shard", interrupted)
        assert main(command) == 0
    assert f"stopped by {name}: shards that are done are kept in {tmp_path}" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.glob("*.array_record"))] == ["shard-00000-of-00003.array_record"]
    assert main(command) == 0
    assert "in 3 shards" in capsys.readouterr().out


def test_a_flipped_bit_is_named_by_shard_and_position_and_never_read(material, tmp_path):
    prepare_at(material["images"], tmp_path / "shards", shards=2)
    whole = open_source(f"array_record:{tmp_path}/shards", canvas_size=16).load(range(23))
    path = sorted(tmp_path.glob("shards/*.array_record"))[1]
    record = path.read_bytes().index(whole[15].pixels.tobytes())  # the fifth of the second shard
    flip(path, record + 100)
    source = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
    assert all((a.pixels == b.pixels).all() for a, b in zip(source.load(range(15)), whole[:15], strict=True))
    for records in ([15], range(23)):
        with pytest.raises(InputError, match=rf"{path.name} is damaged at record 4 .*make.*anew") as caught:
            source.load(records)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fraction", np.linspace(0.02, 0.98, 13).tolist())
def test_no_flipped_bit_anywhere_changes_what_is_read(material, tmp_path, fraction):
    prepare_at(material["images"], tmp_path / "shards", shards=1)
    whole = [p.pixels for p in open_source(f"array_record:{tmp_path}/shards", canvas_size=16).load(range(23))]
    path = next(tmp_path.glob("shards/*.array_record"))
    flip(path, int(path.stat().st_size * fraction))
    source = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
    for record in range(23):
        picture, problem = None, ""
        try:
            picture = source.load([record])[0]
        except InputError as error:
            problem = str(error)
        assert (picture.pixels == whole[record]).all() if picture else f"is damaged at record {record} " in problem


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.999])
def test_a_truncated_shard_is_named(material, tmp_path, keep):
    prepare_at(material["text"], tmp_path / "shards", shards=1)
    path = next(tmp_path.glob("shards/*.array_record"))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(InputError, match=rf"{path.name} is truncated at byte .* of "):
        open_source(f"array_record:{tmp_path}/shards", canvas_size=16, codec=CODEC)


def test_a_glob_chooses_shards(material, tmp_path):
    prepare_at(material["images"], tmp_path / "shards", shards=4)
    some = open_source(f"array_record:{tmp_path}/shards/shard-0000[12]-*", canvas_size=16)
    every = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
    assert len(some) == 12
    assert (some.load([0])[0].pixels == every.load([5])[0].pixels).all()
    assert some.name(7) == "shard-00002-of-00004.array_record record 1"


def test_shards_can_be_prepared_again_in_another_number(material, tmp_path):
    prepare_at(material["images"], tmp_path / "four", shards=4)
    prepare_at(f"array_record:{tmp_path}/four", tmp_path / "one", shards=1)
    four, one = (open_source(f"array_record:{tmp_path}/{name}", canvas_size=16) for name in ("four", "one"))
    pairs = zip(four.load(range(23)), one.load(range(23)), strict=True)
    assert all((a.pixels == b.pixels).all() and a.label == b.label for a, b in pairs)


def test_captions_and_labels_survive():
    from pixjax.data.shards import decode_picture, encode_picture
    from pixjax.data.source import Picture

    pixels = np.arange(16 * 20 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 20, 3)
    picture = decode_picture(encode_picture(Picture(pixels, -1, ("a dog", "naïve 犬"))))
    assert (picture.pixels == pixels).all()
    assert (picture.label, picture.captions) == (-1, ("a dog", "naïve 犬"))


def test_another_tokenizer_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("only letters")
    prepare_at(f"text:{tmp_path}/a.txt", tmp_path / "shards")
    with pytest.raises(InputError, match=r"prepared with the tokenizer 'bytes' of 258 tokens.*'chars27'.*sha256"):
        open_source(f"array_record:{tmp_path}/shards", canvas_size=16, codec=CanvasCodec("chars27", canvas_size=16))


@pytest.mark.parametrize("name", ["thesis.tex", "thesis.tex~"])
def test_wrong_uses_are_refused_in_one_line(material, tmp_path, name):
    prepare_at(material["images"], tmp_path / "shards")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / name).write_text("precious")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no")
    for message, attempt in {
        r"prepared for a canvas of 16 pixels and the config has 64": lambda: open_source(
            f"array_record:{tmp_path}/shards", canvas_size=64
        ),
        r"matches no shard": lambda: open_source(f"array_record:{tmp_path}/shards/x*", canvas_size=16),
        r"does not exist": lambda: open_source(f"array_record:{tmp_path}/nowhere/*", canvas_size=16),
        r"is not empty and was not made by": lambda: prepare_at(material["images"], tmp_path / "else"),
        r"prepared with another num_shards": lambda: prepare_at(material["images"], tmp_path / "shards", shards=2),
        r"prepared with another kind and": lambda: prepare_at(material["text"], tmp_path / "shards"),
        r"no picture could be used, the first was a\.png": lambda: prepare_at(
            f"images:{tmp_path}/bad", tmp_path / "out"
        ),
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert (tmp_path / "else" / name).read_text() == "precious"


@pytest.mark.parametrize("was_there", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_of_which_nothing_can_be_used_leaves_nothing_behind(tmp_path, was_there, workers):
    (tmp_path / "bad").mkdir()
    for name in "abc":
        (tmp_path / "bad" / f"{name}.png").write_bytes(b"no")
    out = tmp_path / "out"
    if was_there:
        out.mkdir()
    for _ in range(2):
        with pytest.raises(InputError, match="no picture could be used"):
            prepare_at(f"images:{tmp_path}/bad", out, shards=2, workers=workers)
        assert out.exists() == was_there
        assert not was_there or not list(out.iterdir())


def test_what_was_made_before_an_error_is_kept_for_the_next_run(material, tmp_path):
    plan = plan_preparation(material["images"], str(tmp_path / "out"), canvas_size=16, shards=4)

    def stop_after_one(job, numbers):
        yield make_shard(job, numbers[0])
        raise InputError("the second cannot be read")

    with pytest.raises(InputError, match="the second"):
        prepare(plan, make_all=stop_after_one)
    made = []
    prepare(plan, report=made.append)
    assert len(made) == 3


def test_a_runner_without_beam_is_refused_before_anything_is_written(material, tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "apache_beam" else found(name))
    options = [f"--source={material['images']}", f"--out={tmp_path}/out", "--canvas-size=16", "--runner=DirectRunner"]
    assert main(["prepare", *options]) == 2
    assert "needs Apache Beam: pip install pixjax[beam]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_manifest_is_named(material, tmp_path):
    prepare_at(material["images"], tmp_path / "shards")
    path = tmp_path / "shards" / "manifest.json"
    values = json.loads(path.read_text())
    for text, message in {
        path.read_text()[:100]: "is damaged",
        json.dumps({"format": 1}): "is damaged",
        json.dumps({**values, "format": 2}): "has format 2, this version reads 1",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            open_source(f"array_record:{tmp_path}/shards", canvas_size=16)


def test_a_manifest_whose_numbers_of_tokens_and_records_disagree_is_refused(material, tmp_path):
    prepare_at(material["text"], tmp_path / "shards", shards=2)
    path = tmp_path / "shards" / "manifest.json"
    values = json.loads(path.read_text())
    values["shards"][1]["num_tokens"] += 1000
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"manifest\.json is damaged \(.* tokens of shard-00001"):
        open_source(f"array_record:{tmp_path}/shards", canvas_size=16, codec=CODEC)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_remote_shard_is_kept_here_only_when_it_is_what_the_manifest_says(material, tmp_path, monkeypatch, damaged):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pixjax.data.prepared.is_remote", lambda path: True)
    download = lambda path, target: target.write_bytes(path.read_bytes())  # noqa: E731  as a `StorePath` does
    monkeypatch.setattr("pixjax.paths.LocalPath.download", download, raising=False)
    prepare_at(material["images"], tmp_path / "shards", shards=1)
    path = next(tmp_path.glob("shards/*.array_record"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if damaged:
        flip(path, path.stat().st_size // 2)
    source = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
    cache = tmp_path / "home" / ".cache" / "pixjax" / "shards"
    if damaged:
        with pytest.raises(InputError, match=rf"{path.name} is not the file that its manifest describes"):
            source.load([0])
        assert not list(cache.iterdir())
    else:
        assert (
            source.load([22])[0].pixels == open_source(material["images"], canvas_size=16).load([22])[0].pixels
        ).all()
        assert [kept.name for kept in cache.iterdir()] == [f"{digest}.array_record"]


def test_beam_makes_the_same_bytes(material, tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed: pip install pixjax[beam]")
    import functools

    from pixjax.data.beam import make_on_beam

    on_beam = functools.partial(make_on_beam, runner="DirectRunner")
    for kind in ("images", "text"):
        prepare_at(material[kind], tmp_path / f"{kind}-here")
        prepare_at(material[kind], tmp_path / f"{kind}-beam", make_all=on_beam)
        assert contents(tmp_path / f"{kind}-here") == contents(tmp_path / f"{kind}-beam")


def test_hard_images_are_prepared_but_for_those_that_are_broken(shared_data, tmp_path):
    folder = shared_data / "images" / "hard-images"
    manifest = prepare_at(f"images:{folder}/hard_images.zip", tmp_path / "shards").to_dict()
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").open()]
    whole = sum(line["open"] == line.get("load") == "ok" for line in lines)
    assert (manifest["num_records"], manifest["num_skipped"]) == (whole, len(lines) - whole)


def test_pictures_that_changed_under_their_names_are_prepared_anew_and_no_others(tmp_path):
    write_pictures(tmp_path / "pictures", 12)
    source, out, said, made = f"images:{tmp_path}/pictures", tmp_path / "shards", [], []
    prepare_at(source, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.array_record")}
    prepare_at(source, out, notify=said.append, report=made.append)
    assert (said, made) == ([], [])
    changed = tmp_path / "pictures" / "0" / "000.png"  # of the first shard
    Image.new("RGB", (16, 16), (1, 2, 3)).save(changed)
    prepare_at(source, out, notify=said.append, report=made.append)
    assert len(said) == 1
    assert "has changed since" in said[0]
    assert "1 of 4 shards are made anew" in said[0]
    assert [shard.file for shard in made] == ["shard-00000-of-00004.array_record"]
    assert sum(path.stat().st_mtime_ns == before[path.name] for path in out.glob("*.array_record")) == 3
    assert open_source(f"array_record:{out}", canvas_size=16).load([0])[0].pixels[0, 0].tolist() == [1, 2, 3]
    prepare_at(source, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
def test_pictures_that_changed_are_prepared_anew_where_size_and_time_are_the_same(tmp_path, packed):
    """As `cp -p`, `rsync -t` and the unpacking of an archive leave them."""
    picture, archive = tmp_path / "pictures" / "a.bmp", tmp_path / "pictures.tar"
    picture.parent.mkdir()
    source = f"images:{archive if packed else picture.parent}"
    for grey in (10, 200, 30):
        Image.new("RGB", (16, 16), (grey, grey, grey)).save(picture)
        os.utime(picture, (1e9, 1e9))
        with tarfile.open(archive, "w") as tar:
            tar.add(picture, "a.bmp")
        os.utime(archive, (1e9, 1e9))
        prepare(plan_preparation(source, str(tmp_path / "out"), canvas_size=16))
        (prepared,) = open_source(f"array_record:{tmp_path}/out", canvas_size=16).load([0])
        assert prepared.pixels[0, 0].tolist() == [grey] * 3


def test_labels_that_changed_are_prepared_anew(tmp_path):
    write_pictures(tmp_path / "pictures", 6)
    listed = tmp_path / "labels.jsonl"
    source = f"images:{tmp_path}/pictures?labels={listed}"
    for names in (("x", "y"), ("y", "z")):
        lines = [{"file": f"{i % 3}/{i:03}.png", "label": names[i % 2]} for i in range(6)]
        listed.write_text("".join(json.dumps(line) + "\n" for line in lines))
        manifest = prepare_at(source, tmp_path / "shards")
        assert manifest.classes == dict.fromkeys(names, 3)
        prepared = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
        assert (prepared.class_names, prepared.class_records) == (names, {0: 3, 1: 3})


def test_shards_that_are_being_made_anew_are_not_read_beside_the_old_ones(tmp_path):
    write_pictures(tmp_path / "pictures", 12)
    source, out = f"images:{tmp_path}/pictures", tmp_path / "shards"
    prepare_at(source, out)
    for path in (tmp_path / "pictures").rglob("*.png"):
        Image.new("RGB", (16, 16), (9, 9, 9)).save(path)

    def stop_after_one(job, numbers):
        yield make_shard(job, numbers[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_at(source, out, make_all=stop_after_one)
    with pytest.raises(InputError, match="let it finish"):
        open_source(f"array_record:{out}", canvas_size=16)
    made = []
    prepare_at(source, out, report=made.append)
    assert len(made) == 3
    assert {p.pixels.mean() for p in open_source(f"array_record:{out}", canvas_size=16).load(range(12))} == {9}


def test_other_pictures_than_those_that_were_prepared_are_refused(tmp_path):
    write_pictures(tmp_path / "pictures", 6)
    prepare_at(f"images:{tmp_path}/pictures", tmp_path / "shards")
    (tmp_path / "pictures" / "0" / "000.png").rename(tmp_path / "pictures" / "0" / "new.png")
    with pytest.raises(InputError, match="held pictures of other names: choose another --out, or delete it"):
        prepare_at(f"images:{tmp_path}/pictures", tmp_path / "shards")


def test_a_manifest_without_classes_and_inputs_is_still_read(material, tmp_path):
    prepare_at(material["images"], tmp_path / "shards")
    path = tmp_path / "shards" / "manifest.json"
    values = json.loads(path.read_text())
    del values["class_names"], values["classes"]
    for shard in values["shards"]:
        del shard["inputs"], shard["labels"]
    path.write_text(json.dumps(values))
    source = open_source(f"array_record:{tmp_path}/shards", canvas_size=16)
    assert (len(source), source.num_labels, source.class_names) == (23, 3, None)

"""Text that a config cannot represent: told wherever it is read, refused where it is most of it, or blank."""

import json

import pytest
from PIL import Image

from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.config_file import load_config
from pixjax.data import make_batches, open_source
from pixjax.errors import InputError
from pixjax.planning import doctor
from pixjax.planning.finding import isolated

CODEC = CanvasCodec("chars27", "radix:3:1", canvas_size=16, normalize=True)
TEXTS = {
    "english": ("It is a text, is it?", 15, 2),
    "chinese": ("西陸蟬聲唱，南冠客思侵。", 12, 12),
    "russian": ("Привет, мир!", 11, 11),
    "blank": (" \n\t\n", 0, 0),
}
REFUSED = "chinese", "russian", "blank"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, (text, _, _) in TEXTS.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        pair = {"prompt": text, "answer": text}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(pair) + "\n", encoding="utf-8")
        pictures = tmp_path / name
        pictures.mkdir()
        Image.new("RGB", (20, 20)).save(pictures / "0.png")
        (pictures / "captions.jsonl").write_text(json.dumps({"file": "0.png", "captions": [text]}), encoding="utf-8")
    return tmp_path


def demo(source, *overrides):
    return load_config("demo", [f"--config.data.sources={source}", "--config.data.batch_size=2", *overrides])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", ["text:{}.txt", "pairs:{}.jsonl", "captions:{}"])
def test_a_source_counts_what_is_lost_of_its_text(folder, kind, name):
    _, characters, lost = TEXTS[name]
    sides = 2 if kind.startswith("pairs") else 1

    def opened():
        return open_source(kind.format(name), canvas_size=16, codec=CODEC, context_canvases=1)

    if name in REFUSED:
        message = "is blank" if name == "blank" else "more than half: --config.codec.tokenizer=bytes"
        with pytest.raises(InputError, match=message) as error:
            opened()
        assert "\n" not in str(error.value)
    else:
        found = opened().coverage
        assert (found.characters, found.lost) == (sides * characters, sides * lost)


def test_the_remedy_is_one(folder):
    with pytest.raises(InputError) as error:
        make_batches(config := demo("text:chinese.txt"), CanvasCodec(**config.codec_arguments()))
    flags = [word for word in str(error.value).split() if word.startswith("--config.")]
    assert len(flags) == 2
    config = demo("text:chinese.txt", *flags)
    codec = CanvasCodec(**config.codec_arguments())
    with make_batches(config, codec) as batches:
        assert batches.notes == []
        assert codec.decode(next(batches)["canvas"]).documents[0] == TEXTS["chinese"][0]
    with pytest.raises(InputError, match="is blank"):  # whatever the tokenizer
        open_source("text:blank.txt", canvas_size=16, codec=codec)


def test_training_the_doctor_and_the_preview_say_how_much_is_lost(folder, capsys):
    config = demo("text:english.txt")
    told = "13.3 % of 15 characters are lost to the tokenizer (, ?)"
    with make_batches(config, CanvasCodec(**config.codec_arguments())) as batches:
        assert batches.notes == [f"text:english.txt: {told}"]
    finding = doctor.check_source(config, "text:english.txt")
    assert finding.found == f"1 records; {told}"
    assert finding.values == {"records": 1, "characters": 15, "lost_characters": 2}
    for name in REFUSED:
        assert isolated(lambda name=name: doctor.check_source(config, f"text:{name}.txt")).status == "failure"
    preview = ["data", "preview", "--config=demo", "--out=preview", "--num=2"]
    assert main([*preview, "--config.data.sources=text:english.txt"]) == 0
    assert f"text:english.txt  (1 records; {told})" in capsys.readouterr().out
    (source,) = json.loads((folder / "preview" / "statistics.json").read_text())["sources"]
    assert (source["characters"], source["lost_characters"]) == (15, 2)


def test_prepared_text_keeps_the_count_and_what_is_lost_is_not_prepared(folder, capsys):
    prepare = ["prepare", "--tokenizer=chars27", "--normalize", "--canvas-size=16", "--workers=0"]
    for name in REFUSED:
        assert main([*prepare, f"--source=text:{name}.txt", f"--out=shards_{name}"]) == 2
        assert not (folder / f"shards_{name}").exists()
    told = capsys.readouterr().err
    assert told.count("more than half: --tokenizer=bytes reads every language\n") == 2
    assert told.count("is blank") == 1
    assert main([*prepare[:1], *prepare[3:], "--source=text:blank.txt", "--out=shards"]) == 2
    assert main([*prepare, "--source=text:*.txt", "--out=shards"]) == 2  # all four together
    (folder / "more.txt").write_text("it is a long text " * 3)
    assert main([*prepare, "--source=text:*.txt", "--out=shards"]) == 0
    manifest = json.loads((folder / "shards" / "manifest.json").read_text())
    assert (manifest["num_characters"], manifest["num_lost"]) == (15 + 12 + 11 + 39, 2 + 12 + 11)
    assert "32.5 % of 77 characters are lost to the tokenizer" in capsys.readouterr().out
    source = open_source("array_record:shards", canvas_size=16, codec=CODEC)
    assert (source.coverage.characters, source.coverage.lost) == (77, 25)


def test_prepared_text_of_which_most_is_lost_is_refused_when_it_is_read(folder):
    prepare = ["prepare", "--tokenizer=chars27", "--normalize", "--canvas-size=16", "--workers=0", "--out=shards"]
    assert main([*prepare, "--source=text:english.txt"]) == 0
    path = folder / "shards" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0] |= {"num_lost": 14}
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"93.3 % of 15 characters are lost to the tokenizer, more than half"):
        open_source("array_record:shards", canvas_size=16, codec=CODEC)
    for key in ("num_lost", "num_characters"):  # of an earlier version, which did not count
        del manifest["shards"][0][key]
    path.write_text(json.dumps(manifest))
    assert open_source("array_record:shards", canvas_size=16, codec=CODEC).coverage.characters == 0

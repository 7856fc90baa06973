"""`pairs:` and captions: which lines are read, what is refused, and what a record is."""

import csv
import gzip
import importlib.util
import json
import logging
import os

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.data import open_source
from pixjax.data.images import BadImage
from pixjax.data.keys import fold
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.source import Picture
from pixjax.data.sources import modality_of
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

CODEC = CanvasCodec(canvas_size=8)  # 63 bytes a canvas


def write(path, *lines):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"pairs:{path}"


def gray(path, value):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), (value, value, value)).save(path)


def write_parquet(path, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def open_pairs(uri, codec=CODEC, context_canvases=1):
    return open_source(uri, canvas_size=8, codec=codec, context_canvases=context_canvases)


def shown(part):
    """A text, or the grey of a picture."""
    return int(part.pixels[0, 0, 0]) if isinstance(part, Picture) else CODEC.detokenize(part)


def read(uri, seed=0, **options):
    """(prompt, answer) of every record, or the cause why not."""
    source = open_pairs(uri, **options)
    pairs = source.load(range(len(source)), fold(seed, np.arange(len(source))))
    return [p.cause if isinstance(p, BadImage) else ([shown(x) for x in p.prompt], shown(p.answer)) for p in pairs]


def test_either_side_is_a_text_or_a_picture_relative_to_the_file(tmp_path):
    gray(tmp_path / "pictures" / "a.png", 10)
    gray(tmp_path / "pictures" / "b.png", 20)
    a, b = ({"image": f"pictures/{name}.png"} for name in "ab")
    uri = write(
        tmp_path / "x.jsonl",
        {"prompt": "hello", "answer": "olleh", "more": 3},
        {"prompt": {"text": "größe"}, "answer": {"text": ""}},
        {"prompt": a, "answer": "ten"},
        {"prompt": "twenty", "answer": b},
        {"prompt": a, "answer": b},
        {"prompt": ["brighter than", a, ""], "answer": b},
        {"prompt": "", "answer": b},
    )
    assert read(f"{uri}?answer=text") == [(["hello"], "olleh"), (["größe"], ""), ([10], "ten")]
    assert read(f"{uri}?answer=image") == [(["twenty"], 20), ([10], 20), (["brighter than", 10], 20), ([], 20)]


def test_lines_stand_in_any_number_of_files_gzipped_or_not(tmp_path):
    write(tmp_path / "a.jsonl", {"prompt": "1", "answer": "one"})
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write("\n" + json.dumps({"prompt": "2", "answer": "two"}) + "\n\n")
    uri = f"pairs:{tmp_path}/*.jsonl*"
    assert read(uri) == [(["1"], "one"), (["2"], "two")]
    source = open_pairs(uri)
    assert (source.name(1), source.num_tokens, len(source)) == ("line 2", 8, 2)


def test_the_modality_is_that_of_the_answers(tmp_path):
    text = write(tmp_path / "a.jsonl", {"prompt": {"image": "a.png"}, "answer": "x"})
    image = write(tmp_path / "b.jsonl", {"prompt": "x", "answer": {"image": "a.png"}})
    for uri, modality in (
        (text, TEXT),
        (image, IMAGE),
        (f"{image}?answer=text", TEXT),
        ("captions:nowhere", IMAGE),
        ("captions:nowhere?answer=text", TEXT),
    ):
        assert modality_of(SourceUri.parse(uri)) == modality


ANSWER = {"prompt": "x", "answer": "y"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "line 2 is not a JSON object with the keys 'prompt' and 'answer'"),
        ("{" * 100_000, "line 2 is not a JSON object"),
        ('{"prompt": "x"}', "line 2 is not a JSON object with the keys"),
        ({"prompt": 3, "answer": "y"}, "line 2: its prompt is neither a text nor"),
        ({"prompt": "x", "answer": ["y"]}, "line 2: its answer is neither"),
        ({"prompt": "x", "answer": {"text": "y", "image": "z"}}, "line 2: its answer is neither"),
        ({"prompt": {"image": ""}, "answer": "y"}, "line 2: its prompt is neither"),
        ({"prompt": [[]], "answer": "y"}, "line 2: its prompt is neither"),
        ({"prompt": None, "answer": "y"}, "line 2: its prompt is null"),
        ({"prompt": "\ud800", "answer": "y"}, "line 2: its prompt is not UTF-8 text"),
    ],
)
def test_a_wrong_line_is_passed_over_counted_and_named(tmp_path, caplog, line, message):
    uri = write(tmp_path / "x.jsonl", ANSWER)
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    assert read(uri) == [(["x"], "y")]
    assert open_pairs(uri).skipped.keys() <= {"missing", "corrupt", "unreadable"}
    assert message in caplog.text
    with (tmp_path / "x.jsonl").open("a") as file:
        file.write("null\n")
    with pytest.raises(InputError, match=r"2 of 3 rows cannot be used, more than data.max_bad_fraction=0.01") as caught:
        open_pairs(uri)
    assert "\n" not in str(caught.value)
    (tmp_path / "x.jsonl").write_text('{"question": "x"}\n' * 3)
    with pytest.raises(InputError, match=r"line 1 is not .*'answer': there is 'question', and none of its other 2"):
        open_pairs(uri)


def test_answers_of_two_kinds_are_named_in_one_line(tmp_path):
    uri = write(tmp_path / "x.jsonl", ANSWER, {"prompt": "x", "answer": {"image": "y.png"}})
    with pytest.raises(InputError, match=r"line 2: its answer is of another kind.*\?answer=text and"):
        open_pairs(uri)


def test_pairs_are_read_from_any_table(tmp_path):
    rows = [("a, b", "c"), ("d\ne", 'f "g"')]
    for name, separator in (("x.csv", ","), ("x.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([("answer", "prompt", "id"), *((a, p, 1) for p, a in rows)])
    (tmp_path / "x.json").write_text(json.dumps([{"prompt": p, "answer": a} for p, a in rows], indent=1))
    names = ["x.csv", "x.tsv", "x.json"]
    if importlib.util.find_spec("pyarrow"):
        gray(tmp_path / "a.png", 10)
        write_parquet(
            tmp_path / "x.parquet",
            prompt=[[{"text": p, "image": None}, {"text": None, "image": "a.png"}] for p, _ in rows],
            answer=[a for _, a in rows],
        )
        assert read(f"pairs:{tmp_path}/x.parquet") == [([p, 10], a) for p, a in rows]
    for name in names:
        assert read(f"pairs:{tmp_path}/{name}") == [([p], a) for p, a in rows]
    (tmp_path / "x.csv").write_text("q,answer\n1,2\n")
    with pytest.raises(InputError, match=r"x.csv has no column 'prompt': there is 'q', 'answer'"):
        open_pairs(f"pairs:{tmp_path}/x.csv")
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(InputError, match=r"x.txt is txt: here a file is one of jsonl, json, csv"):
        open_pairs(f"pairs:{tmp_path}/x.txt")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x.png", "a/../../x.png", "a\\..\\..\\x", "C:x.png", "~/x.png", "gs://x/y.png", "a\0"]
)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path, path):
    uri = write(tmp_path / "x.jsonl", {"prompt": {"image": path}, "answer": "y"})
    with pytest.raises(InputError, match=r"line 1: the picture .* leads out of its folder: write a path relative"):
        open_pairs(uri)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    gray(tmp_path / "elsewhere" / "a.png", 10)
    gray(tmp_path / "data" / "b.png", 20)
    (tmp_path / "data" / "out.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "data" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "inside.png").symlink_to("b.png")
    names = ("out.png", "folder/a.png", "inside.png", "gone.png")
    uri = write(tmp_path / "data" / "x.jsonl", *({"prompt": {"image": name}, "answer": "y"} for name in names))
    assert read(uri) == ["missing", "missing", ([20], "y"), "missing"]


def test_what_does_not_fit_is_said_once(tmp_path, caplog):
    long = "x" * 64
    uri = write(
        tmp_path / "x.jsonl",
        ANSWER,
        {"prompt": long, "answer": "y"},
        {"prompt": ["x", "y"], "answer": "y"},
        {"prompt": "x", "answer": long},
    )
    with caplog.at_level(logging.WARNING, "pixjax.data"):
        open_pairs(uri)
        open_pairs(uri, context_canvases=2)
    assert [record.getMessage().split(": ")[-2].split()[-6:-2] for record in caplog.records] == [
        ["3", "of", "4", "pairs"],
        ["1", "of", "4", "pairs"],
    ]


def test_a_model_without_context_has_no_place_for_prompts(tmp_path):
    uri = write(tmp_path / "x.jsonl", ANSWER)
    for refused in (uri, "captions:nowhere?answer=text"):
        with pytest.raises(InputError, match=r"has prompts.*set model.context_canvases=1 or more"):
            open_pairs(refused, context_canvases=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [("?answer=sound", "answer=sound is unknown: choose one of text, image"), ("?tone=x", "option 'tone'")],
)
def test_unknown_options_are_named(tmp_path, options, message):
    uri = write(tmp_path / "x.jsonl", ANSWER)
    with pytest.raises(InputError, match=message):
        open_pairs(uri + options)


def test_an_option_that_leaves_no_line_is_an_empty_source(tmp_path):
    with pytest.raises(InputError, match="is empty: it has no line"):
        open_pairs(write(tmp_path / "x.jsonl", ANSWER) + "?answer=image")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        open_pairs(f"pairs:{tmp_path}/empty.jsonl")


@pytest.fixture
def captions(tmp_path):
    """Two pictures, one of which has two captions."""
    for name, value, words in (("a", 10, "ten\nthe tenth"), ("b", 20, "twenty")):
        gray(tmp_path / "set" / f"{name}.png", value)
        (tmp_path / "set" / f"{name}.txt").write_text(words)
    return f"captions:{tmp_path}/set"


def test_captions_are_read_in_both_directions(captions):
    drawn = [read(captions, seed) for seed in range(20)]
    assert {str(first) for first, _ in drawn} == {"(['ten'], 10)", "(['the tenth'], 10)"}
    assert all(second == (["twenty"], 20) for _, second in drawn)
    assert drawn[3] == read(captions, 3)
    turned = [read(f"{captions}?answer=text", seed) for seed in range(20)]
    assert {str(first) for first, _ in turned} == {"([10], 'ten')", "([10], 'the tenth')"}


def test_prepared_captions_are_read_in_both_directions(captions, tmp_path):
    prepare(plan_preparation(captions, str(tmp_path / "out"), canvas_size=8, codec=CODEC))
    for direction in ("", "?answer=text"):
        assert read(f"array_record:{tmp_path}/out{direction}") == read(captions + direction)


def test_a_caption_that_the_tokenizer_refuses_is_named_at_once(captions):
    letters = CanvasCodec(tokenizer="chars27", canvas_size=8)
    os.truncate(captions.removeprefix("captions:") + "/b.txt", 0)
    with open(captions.removeprefix("captions:") + "/b.txt", "w") as file:
        file.write("20")
    with pytest.raises(InputError, match=r"a caption of b\.png: chars27 cannot represent '2'") as caught:
        open_pairs(captions, codec=letters)
    assert "\n" not in str(caught.value)
    assert len(open_source(captions, canvas_size=8)) == 2  # as pictures alone they need no tokenizer


def test_what_has_no_captions_cannot_be_asked_for_them(tmp_path):
    gray(tmp_path / "pictures" / "a.png", 10)
    (tmp_path / "a.txt").write_text("text")
    for source in (f"images:{tmp_path}/pictures", f"text:{tmp_path}/a.txt"):
        out = tmp_path / source.split(":")[0]
        prepare(plan_preparation(source, str(out), canvas_size=8, codec=CODEC))
        with pytest.raises(InputError, match="has no pictures with captions: leave out the option answer"):
            open_pairs(f"array_record:{out}?answer=text")
        with pytest.raises(InputError, match=r"option 'answer' of .* is unknown"):
            open_pairs(f"{source}?answer=text")


def test_pairs_are_not_prepared_and_captions_without_a_direction(captions, tmp_path):
    pairs = write(tmp_path / "x.jsonl", ANSWER)
    for source, message in (
        (pairs, "needs no preparing: name it in data.sources as it is"),
        (f"{captions}?answer=text", r"leave out the option answer, and read array_record:.*out\?answer=text"),
    ):
        with pytest.raises(InputError, match=message):
            plan_preparation(source, f"{tmp_path}/out", canvas_size=8, codec=CODEC)

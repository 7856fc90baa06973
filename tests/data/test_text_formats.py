"""`text:` reads what people have: every format gives back the documents that were written, from any place on."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import re
import sys
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.data import open_source, row_formats
from pixjax.data.bad_records import BadRow
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.sources import document_files, text_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

CODEC = CanvasCodec(canvas_size=8)
COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
FEW = settings(max_examples=30, deadline=None)  # first imports and compressions take their time
DOCUMENTS = st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=12)


def read(place, **options):
    return list(text_documents(SourceUri.parse(f"text:{place}"), **options))


def table(texts, separator):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator)
    writer.writerows([("id", "content"), *enumerate(texts)])
    return file.getvalue()


def objects(texts):
    return [{"id": number, "content": text} for number, text in enumerate(texts)]


WRITERS = {
    "csv": lambda texts: table(texts, ","),
    "tsv": lambda texts: table(texts, "\t"),
    "jsonl": lambda texts: "".join(json.dumps(row, ensure_ascii=row["id"] % 2 > 0) + "\n" for row in objects(texts)),
    "json": lambda texts: json.dumps(objects(texts)),
    "json of several lines": lambda texts: json.dumps(objects(texts), indent=2, ensure_ascii=False),
    "json of strings": lambda texts: json.dumps(texts, ensure_ascii=False),
    "json of lines": lambda texts: "\n\n".join(map(json.dumps, objects(texts))),
    "json of values": lambda texts: "\n".join(json.dumps(row, indent=1) for row in objects(texts)),
}


@pytest.fixture
def short_reads(monkeypatch):
    monkeypatch.setattr(row_formats, "_BLOCK", 16)


def require_documents(path, texts, key="?key=content"):
    (part,) = document_files(SourceUri.parse(f"text:{path}{key}"))
    places, documents = zip(*part.read(), strict=True)
    assert list(documents) == texts
    for number in {0, 1, len(texts) // 2, len(texts) - 1} & set(range(len(texts))):
        assert [text for _, text in part.read(places[number])] == texts[number:]


@pytest.mark.usefixtures("short_reads")
@pytest.mark.parametrize("writer", WRITERS)
def test_documents_come_back_as_they_were_written_from_any_place_on(tmp_path, writer):
    ending = "." + writer.split(" ")[0]

    @FEW
    @given(texts=DOCUMENTS, encoding=st.sampled_from(ENCODINGS), compression=st.sampled_from(list(COMPRESS)))
    def check(texts, encoding, compression):
        path = tmp_path / f"a{ending}{compression}"
        path.write_bytes(COMPRESS[compression](WRITERS[writer](texts).encode(encoding)))
        require_documents(path, texts)

    check()


@FEW
@given(texts=DOCUMENTS, size=st.integers(1, 5))
def test_documents_of_parquet_come_back_from_any_row_group_on(tmp_path_factory, texts, size):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path_factory.getbasetemp() / "round.parquet"
    pq.write_table(pa.table({"id": range(len(texts)), "content": texts}), path, row_group_size=size)
    require_documents(path, texts)


@FEW
@given(text=st.text(st.characters(codec="utf-8")), encoding=st.sampled_from(ENCODINGS))
def test_a_plain_text_is_one_document_without_its_byte_order_mark(tmp_path_factory, text, encoding):
    path = tmp_path_factory.getbasetemp() / "plain.md.bz2"
    path.write_bytes(bz2.compress(("x" + text).encode(encoding)))
    assert read(path) == ["x" + text]


@pytest.mark.parametrize("without", ["", "zstandard"])
def test_zstandard_is_read_with_frames_one_after_another_and_a_truncated_one_is_refused(tmp_path, monkeypatch, without):
    zstandard = pytest.importorskip("zstandard")
    pytest.importorskip("pyarrow")
    frame = zstandard.compress(os.urandom(50_000).hex().encode())
    (tmp_path / "a.txt.zst").write_bytes(frame + frame)
    (tmp_path / "b.txt.zst").write_bytes(frame[:-9])
    if without:
        monkeypatch.setitem(sys.modules, without, None)
    (text,) = read(tmp_path / "a.txt.zst")
    assert text == 2 * zstandard.decompress(frame).decode()
    with pytest.raises(InputError, match=r"b\.txt\.zst cannot be read"):
        read(tmp_path / "b.txt.zst")


def test_a_package_that_is_missing_is_named_with_its_remedy(tmp_path, monkeypatch):
    for name in ("zstandard", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    for name, extra in (("a.txt.zst", "zstd"), ("a.parquet", "parquet")):
        (tmp_path / name).write_bytes(b"(\xb5/\xfd")
        with pytest.raises(InputError, match=rf"pip install 'pixjax\[{extra}\]'"):
            read(tmp_path / name)


def test_tables_of_spreadsheets_are_read_as_each_country_and_system_writes_them(tmp_path):
    for text in ("id;text\r\n1;a, b\r\n", "id\ttext\n1\ta, b\n", 'text,id\r"a, b",1\r', '\n\n"text"\n"a, b"\n'):
        (tmp_path / "a.csv").write_bytes(text.encode())
        assert read(tmp_path / "a.csv") == ["a, b"]
    (tmp_path / "a.tsv").write_text('text\n"a" b\n')
    assert read(f"{tmp_path}/a.tsv?quote=none") == ['"a" b']


def test_fields_may_be_long_hold_line_ends_and_nul(tmp_path):
    texts = ["x" * 300_000, 'a\r\nb\n\n"c"\r', "d\0e", "\N{LINE SEPARATOR}\x0b\x1c\x85"]
    (tmp_path / "a.csv").write_bytes(WRITERS["csv"](texts).encode())
    require_documents(tmp_path / "a.csv", texts)


GOOD = b'{"text": "good"}\n'


@pytest.mark.parametrize(
    ("name", "row", "cause", "message"),
    [
        ("a.jsonl", b'{"text": null}\n', "missing", "line 2: 'text' is null"),
        ("a.jsonl", b'{"words": "x"}\n', "missing", "line 2 is not .* key 'text': there is 'words'; name one with"),
        ("a.jsonl", b"null\n", "unreadable", "line 2 is not a JSON object with the key 'text'"),
        ("a.jsonl", b'{"text": 3}\n', "unreadable", "line 2: 'text' is not a string but 3"),
        ("a.jsonl", b'{"text": ["x"]}\n', "unreadable", "line 2: 'text' is not a string but 1 of them"),
        ("a.jsonl", b'{"text": "x\n', "corrupt", "line 2 is not a JSON object"),
        ("a.jsonl", b"\0\0\0\n", "corrupt", "line 2 is not a JSON object"),
        ("a.jsonl", b'{"text": "caf\xe9"}\n', "corrupt", "line 2 is not UTF-8 text: byte 30 cannot be decoded"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "corrupt", "line 2: 'text' is not UTF-8 text"),
        ("a.json", b'{"text": null}\n', "missing", "line 2: 'text' is null"),
        ("b.json", b'{"text": null},\n', "missing", "element 2: 'text' is null"),
        ("a.csv", b"1\n", "missing", "line 3 has 1 fields and the first row 2"),
        ("a.csv", b"1,x,y\n", "corrupt", "line 3 has 3 fields and the first row 2"),
        ("a.csv", b'1,"x"y\n', "corrupt", "line 3 is not a row of fields"),
        ("a.csv", b"1,caf\xe9\n", "corrupt", "line 3: 'text' is not UTF-8 text"),
    ],
)
def test_a_row_that_cannot_be_used_is_passed_over_counted_and_named(tmp_path, caplog, name, row, cause, message):
    before, good, after = {
        "a.csv": (b"id,text\n", b"1,good\n", b""),
        "b.json": (b"[\n", b'{"text": "good"},', b'{"text": "good"}]'),
    }.get(name, (b"", GOOD, b""))
    path = tmp_path / name
    path.write_bytes(before + good + row + good * 3 + after)
    uri = f"text:{path}"
    source = open_source(uri, canvas_size=8, codec=CODEC)
    assert CODEC.detokenize(source.tokens.ids).count("good") == (5 if after else 4)
    assert source.skipped == {cause: 1}
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{uri}: skipped {path} ")
    assert re.search(message, record.getMessage())


def test_too_many_bad_rows_are_refused_by_the_limit_of_the_config(tmp_path):
    (tmp_path / "a.jsonl").write_bytes((GOOD * 8 + b"null\n") * 20)
    with pytest.raises(
        InputError, match=r"20 of 180 rows cannot be used, more than data.max_bad_fraction=0.01"
    ) as caught:
        open_source(f"text:{tmp_path}/a.jsonl", canvas_size=8, codec=CODEC)
    assert "\n" not in str(caught.value)
    source = open_source(f"text:{tmp_path}/a.jsonl", canvas_size=8, codec=CODEC, max_bad_fraction=0.2)
    assert source.skipped == {"unreadable": 20}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            b'{"content": "x", "id": 1}\n' * 3,
            "line 1 .*: there is 'content', 'id'; name one with .*other 2 ",
        ),
        ("a.json", b'[{"content": "x"}, {"content": "y"}]', "element 1 is not .*: there is 'content'; name one"),
        ("a.json", b'{"text": {"0": "x", "1": "y"}}', "line 1: 'text' is not a string but 2 of them: write a row for"),
        ("a.json", b'[{"text": "x"}, {"text": oh}, {"text": "y"}]', "element 2, at byte 16, is not JSON"),
        ("a.json", b'[{"text": "x"}', "ends in the middle of its list"),
        ("a.json", b'[{"text": "x"}] {}', "there is more after its list, at byte 16"),
        ("a.json", b"[" * 100_000, "element 1 is not JSON: it is nested too deeply"),
        ("a.csv", b"id,content\n1,x\n", "a.csv has no column 'text': there is 'id', 'content'; name one with \\?key="),
        ("a.csv", b"text,text\n1,x\n", "has 2 columns 'text': rename all but one"),
        ("a.csv", b"", "is empty"),
        ("a.json", b" \n", "is empty"),
        ("a.docx", b"x", r"does not end in one of \.txt, .*\.parquet.*\.gz.*: say what it is with \?format=txt\|jsonl"),
        ("a", b"x", "does not end in one of"),
        ("a.tar.gz", b"x", "does not end in one of"),
        ("a.parquet.gz", b"x", "does not end in one of"),
        ("a.parquet", b"x", "a.parquet cannot be read"),
        ("a.zip", b"x", "cannot be read as a zip"),
        ("a.txt.xz", b"x", "cannot be read"),
        ("a.csv.bz2", b"x", "cannot be read"),
        ("a.txt", "English".encode("utf-16-le"), "a.txt is full of zero bytes: if it is UTF-16 without a byte order"),
        ("a.txt", b"\xff\xfex", "cannot be read: 'utf-16"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_source(f"text:{tmp_path}/{name}", canvas_size=8, codec=CODEC)
    assert "\n" not in str(caught.value)


def test_the_option_format_says_what_a_name_does_not(tmp_path):
    (tmp_path / "text8").write_text("one two")
    assert read(f"{tmp_path}/text8?format=txt") == ["one two"]
    (tmp_path / "dump").write_bytes(GOOD)
    assert read(f"{tmp_path}/dump?format=jsonl") == ["good"]
    for option, message in {
        "format=pdf": "format=pdf is unknown: choose one of txt, jsonl",
        "format=txt&key=a": "a plain text has no keys",
        "quote=all": "quote=all is unknown",
        "colour=red": "option 'colour' .* is unknown",
    }.items():
        with pytest.raises(InputError, match=message):
            read(f"{tmp_path}/text8?{option}")


FILES = {"b/one.txt": "1", "b/two.jsonl": '{"text": "2"}\n{"text": "3"}\n', "c.csv": "text\n4\n"}
OTHERS = {
    "README.md": "about",
    "LICENSE": "",
    "a.png": "",
    "b.jpg": "",
    ".hidden.txt": "no",
    "__MACOSX/b/._one.txt": "no",
}


def test_a_folder_is_all_the_texts_below_it_and_says_what_is_left_out(tmp_path, caplog):
    for name, text in (FILES | OTHERS).items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(text)
    (tmp_path / "set" / "b" / "again").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "b" / "outside").symlink_to(tmp_path)
    (tmp_path / "beside.txt").write_text("another's")
    os.mkfifo(tmp_path / "set" / "pipe.txt")
    assert read(tmp_path / "set") == ["1", "2", "3", "4"]
    assert caplog.messages == [f"{tmp_path}/set: left out 1 .jpg, 1 .png, 1 LICENSE, 1 README.md"]
    for name in FILES:
        (tmp_path / "set" / name).unlink()
    assert read(tmp_path / "set") == ["about"]  # where there is nothing else, they are the texts
    (tmp_path / "set" / "README.md").unlink()
    with pytest.raises(InputError, match=r"holds no text, only 1 .jpg, 1 .png, 1 LICENSE: known are \.txt, "):
        read(tmp_path / "set")


def test_a_folder_that_may_not_be_read_is_told_and_not_left_out(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    (tmp_path / "one.txt").write_text("one")

    def scandir(folder, allowed=os.scandir):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return allowed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"folder .*/locked cannot be read \(Permission denied\): allow it, or move"):
        read(tmp_path)


@pytest.mark.parametrize("name", [".Trash-0", "lost+found", "@eaDir"])
def test_a_folder_of_a_file_system_is_not_looked_into(tmp_path, monkeypatch, name):
    """Many of them may be read by root alone."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "old.txt").write_text("thrown away")
    (tmp_path / "one.txt").write_text("one")
    looked_into, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (looked_into.append(str(folder)), scandir(folder))[1])
    assert read(tmp_path) == ["one"]
    assert not [folder for folder in looked_into if folder.endswith(name)]


def test_a_zip_is_all_the_texts_in_it(tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (FILES | OTHERS).items():
            archive.writestr(name, text)
    assert read(tmp_path / "a.zip") == ["1", "2", "3", "4"]
    assert "left out 1 .jpg, 1 .png, 1 LICENSE, 1 README.md" in caplog.text
    prepared = prepare(plan_preparation(f"text:{tmp_path}/a.zip", f"{tmp_path}/out", codec=CODEC, shards=4))
    assert prepared.to_dict()["num_tokens"] == 8
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"b/two.jsonl") + 12] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"two\.jsonl cannot be read"):
        read(tmp_path / "a.zip")


def test_what_is_on_the_web_has_to_be_downloaded_first(tmp_path):
    for uri in ("text:https://example.org/a.txt", "images:http://example.org/a.zip", "https://example.org/a.zip"):
        with pytest.raises(
            InputError, match=r"is an address on the web: download it first, curl -LO 'http.*', and name"
        ):
            open_source(uri, canvas_size=8, codec=CODEC)


@pytest.mark.parametrize("shards", [1, 3, 50])
@pytest.mark.parametrize("ending", [".jsonl.gz", ".csv", ".json"])
def test_prepared_shards_pass_over_the_same_rows_and_the_manifest_counts_each_once(tmp_path, ending, shards):
    rows = [{"text": None if number in (0, 7, 8, 19, 29) else f"{number} " * number} for number in range(30)]
    if ending == ".csv":
        text = "text,more\n" + "".join(f"{row['text'] or 'a,b'},c\n" for row in rows)
    else:
        text = json.dumps(rows, indent=1) if ending == ".json" else "".join(json.dumps(row) + "\n" for row in rows)
    path = tmp_path / f"a{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    uri = f"text:{path}"
    here = open_source(uri, canvas_size=8, codec=CODEC, max_bad_fraction=0.2)
    options = {"canvas_size": 8, "codec": CODEC, "shards": shards}
    with pytest.raises(InputError, match=r"5 of 30 rows cannot be used, more than --max-bad-fraction=0.01"):
        plan_preparation(uri, f"{tmp_path}/out", **options)
    values = prepare(plan_preparation(uri, f"{tmp_path}/out", **options, max_bad_fraction=0.2)).to_dict()
    there = open_source(f"array_record:{tmp_path}/out", canvas_size=8, codec=CODEC)
    assert there.tokens.read([(0, len(there.tokens))])[0].tolist() == here.tokens.ids.tolist()
    assert (values["num_skipped"], values["skipped"]) == (5, here.skipped)
    named = [name for shard in values["shards"] for name, _, _ in shard["skipped"]]
    first = 2 if ending == ".csv" else 1
    assert [int(name.rsplit(" ", 1)[1]) - first for name in named] == [0, 7, 8, 19, 29]


def test_a_long_list_is_read_in_little_memory(tmp_path):
    with (tmp_path / "a.json").open("w") as file:
        file.write("[" + ",".join(['{"text": "' + "x" * 10_000 + '"}'] * 1000) + "]")
    (part,) = document_files(SourceUri.parse(f"text:{tmp_path}/a.json"))
    tracemalloc.start()
    assert sum(len(text) for _, text in part.read()) == 10_000_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_rows_of_parquet_that_are_null_of_another_type_or_not_utf8(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    raw = pa.array([b"a", None, b"caf\xe9", "größe".encode()])
    for column in (raw, raw.view(pa.string()), pa.array(["a", None, "b", "größe"]).dictionary_encode()):
        pq.write_table(pa.table({"text": column, "number": [1, 2, 3, 4]}), tmp_path / "a.parquet")
        ((part),) = document_files(SourceUri.parse(f"text:{tmp_path}/a.parquet"))
        rows = [str(bad) if isinstance(bad, BadRow) else bad for _, bad in part.read()]
        assert rows[0] == "a"
        assert rows[1] == f"{tmp_path}/a.parquet row 2: 'text' is null"
        assert rows[2].endswith("UTF-8 text") or rows[2] == "b"
        assert rows[3] == "größe"
    for key, message in (("number", "row 1: 'number' is not a string but 1"), ("words", "there is 'text', 'number'")):
        with pytest.raises(InputError, match=message):
            read(f"{tmp_path}/a.parquet?key={key}")


def test_the_preview_says_what_was_passed_over(tmp_path, capsys):
    (tmp_path / "a.ndjson").write_bytes(GOOD * 300 + b"null\n")
    sources = f"--config.data.sources=text:{tmp_path}/a.ndjson"
    assert main(["data", "preview", "--config=demo", sources, "--num=2", f"--out={tmp_path}/out"]) == 0
    assert "skipped rows: 1 unreadable" in capsys.readouterr().out
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert statistics["sources"][0]["skipped_rows"] == {"unreadable": 1}

"""Pictures in Parquet files, with the labels and captions that Hugging Face writes beside them."""

import csv
import io
import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import CanvasCodec
from pixjax.data import open_source
from pixjax.data.images import BadImage
from pixjax.data.keys import fold
from pixjax.data.parquet import footer_digest
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.errors import InputError

pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

CODEC = CanvasCodec(canvas_size=8)
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(grey):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


def write(path, count=7, *, features=True, group=3, **columns):
    """Pictures of grey 0, 1, …; as `datasets` writes them."""
    path.parent.mkdir(exist_ok=True)
    pictures = pa.array([{"bytes": png(grey), "path": f"{grey}.png"} for grey in range(count)], STRUCT)
    table = pa.table({"note": ["text"] * count, "image": pictures, **columns})
    if features:
        described = {"image": {"_type": "Image"}, "kind": {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": described}})})
    pq.write_table(table, path, row_group_size=group)


def shown(pictures):
    return [p.cause if isinstance(p, BadImage) else (int(p.pixels[0, 0, 0]), p.label, p.captions) for p in pictures]


def test_records_are_read_by_index_over_files_and_row_groups_with_the_labels_of_the_schema(tmp_path):
    write(tmp_path / "set" / "b.parquet", kind=[1, 0, 1, 0, 1, 0, 1])
    write(tmp_path / "set" / "a.parquet", 2, kind=[0, -1])
    for place in (tmp_path / "set", tmp_path / "set" / "*.parquet"):
        source = pickle.loads(pickle.dumps(open_source(f"images:{place}", canvas_size=8)))
        assert (len(source), source.num_labels, source.has_captions) == (9, 3, False)
        assert source.class_names == ("cat", "dog", "eel")
        assert shown(source.load([8, 0, 1, 2, 8])) == [(6, 1, ()), (0, 0, ()), (1, -1, ()), (0, 1, ()), (6, 1, ())]
        assert source.class_records == {-1: 1, 0: 4, 1: 4}
        assert [source.name(record) for record in (1, 2, 8)] == [
            "a.parquet row 2",
            "b.parquet row 1",
            "b.parquet row 7",
        ]


def test_a_fingerprint_is_that_of_the_content_wherever_it_lies(tmp_path):
    kinds = {"a": [0, 1], "b": [0, 1], "c": [1, 0]}
    for folder, kind in kinds.items():
        write(tmp_path / folder / f"{folder}.parquet", 2, kind=kind)
    a, b, c = (open_source(f"images:{tmp_path}/{folder}", canvas_size=8) for folder in kinds)
    assert a.fingerprint() == b.fingerprint() != c.fingerprint()
    assert a.stamp(0) != a.stamp(1)


def test_pictures_that_changed_are_prepared_anew_where_the_footer_is_the_same(tmp_path):
    path, said = tmp_path / "a.parquet", []

    def prepared(grey):
        Image.new("RGB", (64, 64), (grey, grey, grey)).save(file := io.BytesIO(), "BMP")
        rows = pa.array([{"bytes": file.getvalue(), "path": "a.bmp"}], STRUCT)
        pq.write_table(pa.table({"image": rows}), path, compression="none")
        os.utime(path, (1e9, 1e9))
        prepare(plan_preparation(f"images:{path}", f"{tmp_path}/out", canvas_size=64), notify=said.append)
        return shown(open_source(f"array_record:{tmp_path}/out", canvas_size=64).load([0]))

    assert prepared(7) == [(7, -1, ())]
    size, footer = path.stat().st_size, footer_digest(path)
    assert prepared(200) == [(200, -1, ())]
    assert (path.stat().st_size, footer_digest(path), len(said)) == (size, footer, 1)


def test_a_picture_that_is_null_not_embedded_or_broken_is_passed_over(tmp_path):
    rows = [{"bytes": None, "path": "/elsewhere/a.png"}, None, {"bytes": b"x", "path": None}, {"bytes": png(3)}]
    pq.write_table(pa.table({"image": pa.array(rows, STRUCT)}), tmp_path / "a.parquet")
    source = open_source(f"images:{tmp_path}/a.parquet", canvas_size=8)
    assert shown(source.load(range(4))) == ["missing", "missing", "unreadable", (3, -1, ())]
    values = prepare(plan_preparation(f"images:{tmp_path}/a.parquet", f"{tmp_path}/out", canvas_size=8)).to_dict()
    assert (values["num_records"], values["skipped"]) == (1, {"missing": 2, "unreadable": 1})


def test_columns_are_told_by_usual_names_or_by_options(tmp_path):
    data = {"jpg": [png(5), png(6)], "photo": [png(7), png(8)], "label": ["b", "a"], "other": [4, 2]}
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    for options, expected in {
        "": [(5, 1, ()), (6, 0, ())],
        "?image=photo&label=other": [(7, 4, ()), (8, 2, ())],
    }.items():
        assert shown(open_source(f"images:{tmp_path}/a.parquet{options}", canvas_size=8).load([0, 1])) == expected
    for options, message in {
        "?image=label": "image=label is not one of its columns: jpg, photo",
        "?label=size": "label=size is not one of its columns: jpg, photo, label, other",
        "?text=a": "option 'text' .* is unknown",
    }.items():
        with pytest.raises(InputError, match=message):
            open_source(f"images:{tmp_path}/a.parquet{options}", canvas_size=8)


def test_captions_are_a_text_or_a_list_and_read_in_both_directions(tmp_path):
    write(tmp_path / "a.parquet", 2, features=False, caption=[["zero", "nought"], ["one"]])
    write(tmp_path / "b.parquet", 2, features=False, words=["zero", None])
    source = open_source(f"captions:{tmp_path}/a.parquet", canvas_size=8)
    assert source.has_captions
    assert shown(source.load([0, 1])) == [(0, -1, ("zero", "nought")), (1, -1, ("one",))]
    other = open_source(f"captions:{tmp_path}/b.parquet?caption=words", canvas_size=8)
    assert shown(other.load([0, 1])) == [(0, -1, ("zero",)), "missing"]
    uri = f"captions:{tmp_path}/a.parquet?answer=text"
    (pair,) = open_source(uri, canvas_size=8, codec=CODEC, context_canvases=1).load([1], fold(0, np.arange(1)))
    assert CODEC.detokenize(pair.answer) == "one"
    with pytest.raises(InputError, match="no column of captions among note, image, words: name one with"):
        open_source(f"captions:{tmp_path}/b.parquet", canvas_size=8)


def test_files_without_pictures_or_with_other_columns_are_named(tmp_path):
    pq.write_table(pa.table({"text": ["x"], "label": [1]}), tmp_path / "text.parquet")
    with pytest.raises(InputError, match=r"text.parquet has no column of pictures among text, label: name one with"):
        open_source(f"images:{tmp_path}/text.parquet", canvas_size=8)
    write(tmp_path / "set" / "a.parquet", 1)
    pq.write_table(pa.table({"img": [png(1)]}), tmp_path / "set" / "b.parquet")
    with pytest.raises(InputError, match=r"b.parquet has no column 'image', which .*a.parquet has"):
        open_source(f"images:{tmp_path}/set", canvas_size=8)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken.parquet cannot be read"):
        open_source(f"images:{tmp_path}/broken.parquet", canvas_size=8)


ROWS = [("a.png", "first"), ("b.png", "second"), ("a.png", 'one, "more"')]


@pytest.mark.parametrize("name", ["captions.csv", "captions.tsv", "captions.json", "metadata.csv", "metadata.parquet"])
def test_captions_of_a_folder_stand_in_any_table(tmp_path, name):
    for picture in "ab":
        (tmp_path / f"{picture}.png").write_bytes(png(1))
    table, columns = tmp_path / name, ("file_name", "text") if name.startswith("metadata") else ("file", "caption")
    if name.endswith("json"):
        table.write_text(json.dumps([dict(zip(columns, row, strict=True)) for row in ROWS]))
    elif name.endswith("parquet"):
        pq.write_table(pa.table(dict(zip(columns, zip(*ROWS, strict=True), strict=True))), table)
    else:
        with table.open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if name.endswith("tsv") else ",").writerows([columns, *ROWS])
    captions = (("first", 'one, "more"'), ("second",))
    assert open_source(f"captions:{tmp_path}", canvas_size=8).captions == captions
    elsewhere = tmp_path.parent / f"{tmp_path.name}-{name}"
    table.rename(elsewhere)
    assert open_source(f"captions:{tmp_path}?captions={elsewhere}", canvas_size=8).captions == captions

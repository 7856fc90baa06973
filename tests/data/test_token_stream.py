import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixjax.codec import CanvasCodec
from pixjax.data.bad_records import BadRow
from pixjax.data.demo import demo_documents
from pixjax.data.keys import fold
from pixjax.data.sources import document_files, open_source
from pixjax.data.token_stream import MemoryTokens, TokenStream
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError

CODEC = CanvasCodec(canvas_size=8)


def ring(size: int) -> TokenStream:
    return TokenStream("text:x", MemoryTokens(np.arange(size)), capacity=63, pad_id=-1)


def one_epoch(stream: TokenStream, seed: int):
    records = np.arange(len(stream))
    return stream.windows(records, np.broadcast_to(fold(seed), records.shape))


@given(size=st.integers(1, 500), seed=st.integers(0, 2**32))
def test_an_epoch_holds_every_token_once_and_only_the_last_window_pads(size, seed):
    stream = ring(size)
    ids, lengths = one_epoch(stream, seed)
    assert sorted(ids[ids >= 0]) == list(range(size))
    assert (ids[:-1] >= 0).all()
    assert ((ids >= 0).sum(-1) == lengths).all()


def test_windows_follow_one_another_around_the_ring():
    ids, _ = one_epoch(ring(200), 5)
    flat = ids[ids >= 0]
    assert (np.diff(flat) % 200 == 1).all()


def test_borders_between_canvases_move_from_epoch_to_epoch():
    stream = ring(10_000)
    starts = {int(one_epoch(stream, epoch)[0][0, 0]) for epoch in range(20)}
    assert len(starts) == 20
    assert max(starts) - min(starts) > 5_000


def test_a_text_that_fits_on_one_canvas_is_read_from_its_beginning():
    ids, _ = one_epoch(ring(40), 3)
    assert ids.tolist() == [[*range(40), *[-1] * 23]]


def test_text_files_plain_gzipped_and_jsonl_are_documents_ended_by_eos(tmp_path):
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("beta é".encode()))
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("gamma\u2028x", "delta"))
    (tmp_path / "c.jsonl").write_text(lines)
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"text": "epsilon", "title": "t"}\n\n'))
    stream = open_source(f"text:{tmp_path}/*", canvas_size=8, codec=CODEC)
    pieces = np.split(stream.tokens.ids, np.flatnonzero(stream.tokens.ids == CODEC.eos_id) + 1)
    texts = [CODEC.detokenize(piece[:-1]) for piece in pieces if len(piece)]
    assert texts == ["alpha", "beta é", "gamma\u2028x", "delta", "epsilon"]


def test_tokens_are_kept_in_the_smallest_type_that_holds_the_vocabulary(tmp_path):
    (tmp_path / "a.txt").write_text("abc")
    assert open_source(f"text:{tmp_path}/a.txt", canvas_size=8, codec=CODEC).tokens.ids.dtype == np.uint16
    letters = CanvasCodec("chars27", canvas_size=8)
    assert open_source(f"text:{tmp_path}/a.txt", canvas_size=8, codec=letters).tokens.ids.dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b"caf\xe9", "not UTF-8 text: byte 3"),
        ("a.jsonl", b'{"words": "y"}\n', "line 1 is not a JSON object with the key 'text'"),
        ("a.jsonl", b'{"text": 3}\n', "line 1: 'text' is not a string"),
        ("a.jsonl", b"not json\n", "line 1 is not a JSON object"),
        ("a.txt.gz", b"not gzip", "cannot be read"),
        ("a.txt.gz", gzip.compress(b"x" * 9999, mtime=0)[:20], "cannot be read"),
    ],
)
def test_a_wrong_text_file_is_named_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_source(f"text:{tmp_path}/*", canvas_size=8, codec=CODEC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".txt.gz", ".jsonl.gz"])
def test_no_damage_to_a_gzip_file_ends_in_anything_but_one_line(tmp_path, ending):
    rng = np.random.default_rng(0)
    text = "".join(rng.choice(list("etaoin"), 3000))
    whole = gzip.compress(json.dumps({"text": text}).encode() if "json" in ending else text.encode(), mtime=0)
    causes = set()
    for place in range(0, len(whole), 7):
        data = bytearray(whole)
        data[place] ^= 0xFF
        (tmp_path / f"a{ending}").write_bytes(data)
        try:
            open_source(f"text:{tmp_path}/a{ending}", canvas_size=8, codec=CODEC)
        except InputError as error:
            causes.add(str(error).split(" while ")[0].split("cannot be read: ")[-1])
            assert "\n" not in str(error)  # noqa: PT017
    assert any("Error -3" in cause for cause in causes)  # zlib's own, which is no OSError


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_lines_are_read_from_the_place_where_they_stand(tmp_path, ending):
    texts = [f"é{i}" * i for i in range(20)]
    data = b"".join(
        b"\n" * (i % 3) + json.dumps({"text": t}, ensure_ascii=False).encode() + b"\n" for i, t in enumerate(texts)
    )
    path = tmp_path / f"a{ending}"
    path.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    (part,) = document_files(SourceUri.parse(f"text:{path}"))
    places, documents = zip(*part.read(), strict=True)
    assert list(documents) == texts
    for number, place in enumerate(places):
        assert [text for _, text in part.read(place)] == texts[number:]
    path.write_bytes((gzip.compress if ending.endswith("gz") else bytes)(data[: places[5]] + b"{}\n"))
    ((_, bad),) = part.read(places[5])
    assert isinstance(bad, BadRow)
    assert f"{path}, the line at byte {places[5]:,}, is not a JSON object" in str(bad)


def test_a_glob_without_matches_is_an_error(tmp_path):
    with pytest.raises(InputError, match="matches no file"):
        open_source(f"text:{tmp_path}/*.txt", canvas_size=8, codec=CODEC)


def test_text_that_the_tokenizer_lacks_is_refused_with_a_remedy(tmp_path):
    (tmp_path / "a.txt").write_text("Café 1")
    with pytest.raises(InputError, match="normalize"):
        open_source(f"text:{tmp_path}/a.txt", canvas_size=8, codec=CanvasCodec("chars27", canvas_size=8))


def test_held_out_documentation_shares_no_topic_with_the_training_part():
    everything, train, held_out = (demo_documents(part) for part in ("all", "train", "held_out"))
    assert sorted(train + held_out) == sorted(everything)
    assert len(set(everything)) == len(everything) > 50
    assert 0.05 < sum(map(len, held_out)) / sum(map(len, everything)) < 0.2


@given(size=st.integers(1, 500), seed=st.integers(0, 2**32), count=st.integers(1, 200))
def test_before_a_window_stands_what_the_ring_has_before_it_and_nothing_of_itself(size, seed, count):
    stream = ring(size)
    records = np.arange(len(stream))
    key = np.broadcast_to(fold(seed), records.shape)
    ids, lengths = stream.windows(records, key)
    for window, length, before in zip(ids, lengths, stream.before(records, key, count), strict=True):
        if size <= 63:
            assert len(before) == 0
            continue
        assert len(before) == min(count, size - length)
        together = [*before, *window[:length]]
        assert (np.diff(together) % size == 1).all()
        assert len(set(together)) == len(together)

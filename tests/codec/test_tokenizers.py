"""Tokenizers: what each can represent, the files they come from, and what happens to bad ones."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import CanvasCodec
from pixjax.codec.subword import train_bpe
from pixjax.codec.tokenizer import to_27_letters
from pixjax.errors import InputError

CORPUS = ["to be, or not to be: that is the question " * 5, "été 漢字"]


@pytest.fixture(scope="module")
def bpe_bytes() -> bytes:
    return train_bpe(CORPUS, vocab_size=280)


@pytest.fixture(scope="module")
def sentencepiece_path(tmp_path_factory) -> str:
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat", "a dog ate the hat", "the end of that"] * 5),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("spm") / "tiny.model"
    path.write_bytes(model.getvalue())
    return str(path)


def gpt2_folder(folder, vocab: dict, merges: str):
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text(merges)
    return str(folder)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Café No. 42!", "cafe no four two"),
        ("  A\n\tb  ", "a b"),
        ("İstanbul ﬁn Ⅳ", "istanbul fin iv"),
        ("漢字", ""),
        ("2001", "two zero zero one"),
    ],
)
def test_normalising_follows_the_rules_of_text8(text, letters):
    assert to_27_letters(text) == letters


@settings(max_examples=100, deadline=None)
@given(text=st.text())
def test_whatever_is_normalised_can_be_represented(text):
    codec = CanvasCodec("chars27", "radix:3:1", canvas_size=8, normalize=True)
    letters = to_27_letters(text)
    assert to_27_letters(letters) == letters
    assert codec.detokenize(codec.tokenize(text)) == letters


@pytest.mark.parametrize("text", ["é", "7", "A", "line\n", "`"])
def test_letters_refuse_the_rest_and_say_what_is_allowed(text):
    with pytest.raises(InputError, match=r"a to z and the space; normalize=True \(--normalize\)"):
        CanvasCodec("chars27", "radix:3:1", canvas_size=8).encode(text)


def test_half_a_character_is_refused():
    with pytest.raises(InputError, match="lone surrogate, U\\+D800, at character 1"):
        CanvasCodec(canvas_size=8).encode("a\ud800")


def test_trained_bpe_has_the_size_asked_for_and_is_reproducible(bpe_bytes, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(bpe_bytes)
    codec = CanvasCodec(str(path), canvas_size=16)
    assert (codec.vocab_size, codec.eos_id, codec.pad_id) == (280, 0, 1)
    assert len(codec.tokenize(" question")) < len(" question") / 2
    assert train_bpe(CORPUS, vocab_size=280) == bpe_bytes


@pytest.mark.parametrize(("size", "message"), [(257, "out of range"), (5000, "yields only")])
def test_a_vocabulary_that_cannot_be_trained_is_refused(size, message):
    with pytest.raises(InputError, match=message):
        train_bpe(CORPUS, vocab_size=size)


def test_control_tokens_spelled_out_are_text(bpe_bytes, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(bpe_bytes)
    codec = CanvasCodec(str(path), canvas_size=16)
    text = "<|endoftext|> is not <|pad|>"
    assert codec.decode(codec.encode([text, text])).documents == (text, text)


def test_gpt2_files_make_byte_level_bpe(tmp_path):
    letters = {chr(c): i for i, c in enumerate(range(33, 127))}
    vocab = {**letters, "Ġ": 94, "ab": 95, "<|endoftext|>": 96}
    codec = CanvasCodec(gpt2_folder(tmp_path / "gpt2", vocab, "#version: 0.2\na b\n"), canvas_size=8)
    assert codec.tokenize("ab ba").tolist() == [95, 94, letters["b"], letters["a"]]
    assert (codec.eos_id, codec.pad_id, codec.vocab_size) == (96, 97, 98)


def test_sentencepiece_reads_what_its_model_covers_and_refuses_the_rest(sentencepiece_path):
    codec = CanvasCodec(sentencepiece_path, canvas_size=16)
    text = "the cat ate the hat"
    assert codec.decode(codec.encode([text, text])).documents == (text, text)
    for lossy in ("the  cat", "漢", "the cat\n", " the"):
        with pytest.raises(InputError, match="cannot represent"):
            codec.encode(lossy)
    loose = CanvasCodec(sentencepiece_path, canvas_size=16, normalize=True)
    assert loose.decode(loose.encode(" the  cat ")).text == "the cat"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"", "cannot be read as a tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe", "cannot be read as a tokenizer.json"),
        ("tokenizer.json", b'{"version": "1.0"', "cannot be read as a tokenizer.json"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}', "empty vocabulary"),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}}', "ids up to"),
        ("tokenizer.json", b"[" * 100_000, "cannot be read as a tokenizer.json"),
        ("tiny.model", b"", "is empty"),
        ("tiny.model", b"\x00" * 100, "cannot be read as a SentencePiece model"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        CanvasCodec(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "newer", [{"version": "9.0"}, {"pre_tokenizer": {"type": "Later"}}, {"model": {"type": "Later"}}]
)
def test_a_whole_tokenizer_of_a_newer_library_says_how_to_upgrade(tmp_path, bpe_bytes, newer):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(bpe_bytes) | newer))
    message = r"the library, tokenizers [\d.]+\w*, may be too old for it: pip install --upgrade tokenizers"
    with pytest.raises(InputError, match=message) as error:
        CanvasCodec(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, bpe_bytes, sentencepiece_path, cut):
    with open(sentencepiece_path, "rb") as file:
        model = file.read()
    for name, content in (("t.json", bpe_bytes), ("t.model", model)):
        (tmp_path / name).write_bytes(content[: int(len(content) * cut)])
        with pytest.raises(InputError):
            CanvasCodec(str(tmp_path / name))


def test_merges_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read as a vocab.json with its merges.txt"):
        CanvasCodec(gpt2_folder(tmp_path / "a", {"a": 0}, "a b c\n"))
    with pytest.raises(InputError, match=r"cannot be read as a vocab.json with its merges.txt"):
        CanvasCodec(gpt2_folder(tmp_path / "b", {"a": 0}, "a b\n"))


@pytest.mark.parametrize("spec", ["byte", "nowhere.json", "nowhere.model", "."])
def test_a_tokenizer_that_is_not_there_is_refused(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"unknown|does not exist|holds no tokenizer"):
        CanvasCodec(spec)


def test_a_saved_codec_reads_where_the_tokenizer_is_gone(bpe_bytes, tmp_path):
    path = tmp_path / "elsewhere.json"
    path.write_bytes(bpe_bytes)
    codec = CanvasCodec(str(path), "radix:auto:2:gray", "patch", 16, marker_size=2)
    codec.save(tmp_path / "codec")
    canvases = codec.encode("to be")
    path.unlink()

    loaded = CanvasCodec.load(tmp_path / "codec")
    assert loaded == codec
    assert hash(loaded) == hash(codec)
    assert loaded.decode(canvases).text == "to be"
    assert pickle.loads(pickle.dumps(codec)).decode(canvases).text == "to be"
    assert loaded != CanvasCodec(canvas_size=16)


def test_a_changed_tokenizer_or_description_is_refused(bpe_bytes, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(bpe_bytes)
    folder = tmp_path / "codec"
    CanvasCodec(str(path), canvas_size=16).save(folder)
    saved = (folder / "tokenizer.json").read_bytes()

    (folder / "tokenizer.json").write_bytes(saved + b"\n")
    with pytest.raises(InputError, match="sha256 differs"):
        CanvasCodec.load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="is missing"):
        CanvasCodec.load(folder)
    (folder / "tokenizer.json").write_bytes(saved)

    description = json.loads((folder / "codec.json").read_text())
    for change, message in (
        ({"format": 2}, "update pixjax"),
        ({"canvas_size": "16"}, "is not a int"),
        ({"canvas_size": 10**9}, "is not in 1 to"),
        ({"vocab_size": 7}, "was made for 7 tokens"),
        ({"tokenizer_sha256": {}}, "does not say which files"),
    ):
        (folder / "codec.json").write_text(json.dumps({**description, **change}))
        with pytest.raises(InputError, match=message):
            CanvasCodec.load(folder)
    (folder / "codec.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        CanvasCodec.load(folder)
    with pytest.raises(InputError, match=r"no codec\.json"):
        CanvasCodec.load(tmp_path / "nowhere")


def test_padding_and_eos_are_never_printed():
    codec = CanvasCodec(canvas_size=8)
    ids = np.array([codec.pad_id, 65, codec.pad_id, 66, codec.eos_id, 67, codec.pad_id])
    assert codec.detokenize(ids) == "AB\n\nC"

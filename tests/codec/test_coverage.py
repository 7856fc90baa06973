"""What is lost of a text that a tokenizer rewrites: characters, not their case, their accents or the spaces."""

import logging
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.codec.coverage import CoverageCounter, warn_lost
from pixjax.codec.subword import train_bpe
from pixjax.codec.tokenizer import to_27_letters
from pixjax.errors import InputError

LETTERS = CanvasCodec("chars27", "radix:3:1", canvas_size=16, normalize=True)


def coverage(codec, *texts):
    counter = CoverageCounter(codec.text_tokenizer)
    for text in texts:
        counter.add(text, codec.tokenize(text))
    return counter.coverage


@pytest.mark.parametrize(
    ("text", "characters", "lost", "examples"),
    [
        ("The CAFÉ at 9", 10, 0, ""),
        ("e\u0301 é", 2, 0, ""),  # an accent by itself is no character
        ("Hello, world!!", 13, 3, "! ,"),
        ("Привет, мир", 10, 10, None),
        ("西陸蟬聲唱 x", 6, 5, None),
        ("ﬁ Ⅳ", 4, 0, ""),  # as they are spelled
        ("a\u200bb\ufeff\x07 \t\u3000", 2, 0, ""),  # what is not printed
    ],
)
def test_letters_and_digits_are_kept_and_all_else_is_lost(text, characters, lost, examples):
    found = coverage(LETTERS, text)
    assert (found.characters, found.lost) == (characters, lost)
    assert examples is None or found.examples == examples
    assert not found.blank


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(), max_size=4))
def test_a_text_of_which_nothing_is_lost_spells_all_of_it(texts):
    """Counted another way: by asking of each character alone what the rules make of it."""
    plain = [c for t in texts for c in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", t).lower())]
    printed = [c for c in plain if unicodedata.category(c)[0] not in "MZC"]
    lost = [c for c in printed if not to_27_letters(c)]
    found = coverage(LETTERS, *texts)
    assert (found.characters, found.lost) == (len(printed), len(lost))
    assert found.blank == (texts != [] and not printed)


def test_documents_are_counted_together_however_they_are_cut(monkeypatch):
    text = "".join(np.random.default_rng(0).choice(list("ab ,é漢😀"), 3000))
    whole = coverage(LETTERS, text)
    for together in (7, 1000):
        monkeypatch.setattr("pixjax.codec.coverage._TOGETHER", together)
        assert coverage(LETTERS, *(text[start : start + 50] for start in range(0, 3000, 50))) == whole


def test_a_tokenizer_that_refuses_loses_nothing():
    for codec in (CanvasCodec("bytes", canvas_size=16), CanvasCodec("chars27", "radix:3:1", canvas_size=16)):
        assert coverage(codec, "some text").characters == 0
        assert not coverage(codec, " ", "x").blank
        assert coverage(codec, " ", "  ").blank
        assert not coverage(codec).blank


def unigram(folder):
    from tokenizers import Tokenizer, models

    pieces = [("<unk>", 0.0), *((letter, -2.0) for letter in string.ascii_lowercase + " ")]
    Tokenizer(models.Unigram(pieces, unk_id=0)).save(str(folder / "unigram.json"))
    return CanvasCodec(str(folder / "unigram.json"), canvas_size=16, normalize=True)


def word_pieces(folder):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {"[UNK]": 0, "to": 1, "be": 2, "kun": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "words.json"))
    return CanvasCodec(str(folder / "words.json"), canvas_size=16, normalize=True)


def test_what_a_vocabulary_does_not_know_is_lost(tmp_path):
    found = coverage(unigram(tmp_path), "to be 漢字, unk")
    assert (found.characters, found.lost) == (10, 3)  # the name of the unknown token is not taken for letters
    found = coverage(word_pieces(tmp_path), "To BE kun nut")
    assert (found.characters, found.lost) == (10, 3)
    (tmp_path / "bytes.json").write_bytes(train_bpe(["to be, or not to be"], vocab_size=262))
    assert coverage(CanvasCodec(str(tmp_path / "bytes.json"), canvas_size=16, normalize=True), "漢字 to").lost == 0


def test_sentencepiece_loses_what_is_not_in_its_model(shared_data):
    codec = CanvasCodec(str(shared_data / "tokenizers" / "spm_test_model.model"), canvas_size=16, normalize=True)
    assert coverage(codec, "Hello  world").lost == 0  # only a space
    found = coverage(codec, "hello 漢字漢字")
    assert (found.lost, found.examples) == (4, "字 漢")


def test_more_than_half_lost_is_refused_and_less_is_told(caplog):
    caplog.set_level(logging.WARNING)
    warn_lost(LETTERS.text_tokenizer, "Hello, мир.", "--prompt", "do this")  # 5 of 10
    assert caplog.messages == ["--prompt: 50.0 % of 10 characters are lost to the tokenizer (, . и м р)"]
    with pytest.raises(InputError, match=r"--prompt: 54.5 % of 11 characters .*, more than half: do this"):
        warn_lost(LETTERS.text_tokenizer, "Hello, мир..", "--prompt", "do this")
    with pytest.raises(InputError, match="--prompt is blank, it holds nothing but white space"):
        warn_lost(LETTERS.text_tokenizer, " \n", "--prompt", "do this")
    warn_lost(CanvasCodec("bytes", canvas_size=16).text_tokenizer, "мир \n", "--prompt", "do this")
    assert len(caplog.messages) == 1


def test_encoding_says_what_it_loses(tmp_path, capsys, caplog):
    page = tmp_path / "t.txt"
    encode = ["codec", "encode", f"--text-file={page}", f"--out={tmp_path / 'x.png'}", "--tokenizer=chars27"]
    encode += ["--code=radix:3:1", "--normalize", "--canvas-size=16"]
    page.write_text("漢字, ok", encoding="utf-8")
    assert main(encode) == 2
    told = capsys.readouterr().err
    assert "60.0 % of 5 characters are lost" in told
    assert "more than half: --tokenizer=bytes --code=radix:auto:2 reads every language\n" in told
    assert not (tmp_path / "x.png").exists()
    page.write_text("it is ok, 漢", encoding="utf-8")
    assert main(encode) == 0
    assert "2 characters" not in caplog.text
    assert "25.0 % of 8 characters are lost to the tokenizer (, 漢)" in caplog.text

"""`benchmarks/letters27.py` makes the text that the figures of README were measured on, from plain books."""

import gzip
import hashlib
import json

import pytest

from benchmarks import letters27
from pixjax.codec.tokenizer import to_27_letters

WORDS = "A book, by “Nobody” (Nº 7).\r\n\r\nCafé Zürich, 1905! " + "Once upon a time there was a cat. " * 30
HEADER = "The Project Gutenberg EBook of It\r\n\r\nRelease Date: 2001 [EBook #3]\r\n\r\n"
START = "*** START OF THIS PROJECT GUTENBERG EBOOK IT:\r\nA LONG TITLE ***\r\n"
END = "\r\n\r\nEnd of Project Gutenberg's It\r\n\r\n*** END OF THIS PROJECT GUTENBERG EBOOK IT ***\r\nfull license"


def beginning(text: str) -> str:
    return hashlib.sha256(to_27_letters(text).encode()).hexdigest()[:16]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three books: by the number in their name, twice, and in their header; and one that nobody asked for."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "pg1.txt").write_bytes(b"another edition")
    (tmp_path / "1-0.txt").write_bytes((HEADER + START + WORDS + END).encode())
    (tmp_path / "deep" / "2-8.txt").write_bytes("déjà vu".encode("latin-1") * 50)
    (tmp_path / "deep" / "It_Nobody.txt").write_bytes((HEADER + START + WORDS * 2 + END).encode("utf-8-sig"))
    (tmp_path / "9.txt").write_bytes(b"not asked for")
    monkeypatch.setattr(
        letters27, "BOOKS", {1: beginning(WORDS), 3: beginning(WORDS * 2), 2: beginning("déjà vu" * 50)}
    )
    return tmp_path


def texts(out):
    return {name: gzip.decompress((out / f"{name}.txt.gz").read_bytes()).decode() for name in letters27.SHA256}


def test_books_as_downloaded_become_three_texts_of_27_symbols(folder, tmp_path, capsys):
    assert letters27.main([str(folder), f"--out={tmp_path / 'out'}"]) == 0
    made = texts(tmp_path / "out")
    books = [to_27_letters(text) for text in (WORDS, WORDS * 2, "déjà vu" * 50)]  # in the order of the list
    assert made["test"] == " ".join(book[int(len(book) * 0.97) :] for book in books)
    assert made["valid"] == " ".join(book[int(len(book) * 0.94) : int(len(book) * 0.97)] for book in books)
    first = [book[: int(len(book) * 0.94)] for book in books]
    assert sorted(map(made["train"].find, first))[0] == 0
    assert len(made["train"]) == sum(map(len, first)) + 2
    assert "a book by nobody no seven cafe zurich one nine zero five once upon" in made["train"]
    assert capsys.readouterr().out.count("not that of letters27") == 3


def test_a_book_that_is_missing_or_of_another_edition_is_named_and_nothing_written(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (folder / "1-0.txt").unlink()
    assert letters27.main([str(folder), f"--out={out}"]) == 2
    assert "has another edition (by its checksum) of 1 books, 1: " in capsys.readouterr().err
    (folder / "deep" / "2-8.txt").unlink()
    for arguments in ([], ["--any-edition"]):
        assert letters27.main([str(folder), f"--out={out}", *arguments]) == 2
        told = capsys.readouterr().err
        assert "lacks 1 of the 3 books, 2: add each as NUMBER.txt" in told
        assert told.count("\n") == 1
    assert not out.exists()
    (folder / "2.txt").write_bytes(b"a new edition " * 9)
    assert letters27.main([str(folder), f"--out={out}", "--any-edition"]) == 0
    assert "another edition (by its checksum) of 2 books, 1, 2\n" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"{", b"[]\n", b'{"pg_id": 1, "text": 2}\n', b"\x1f\x8b"])
def test_a_file_that_is_no_books_is_one_line(tmp_path, capsys, content):
    (tmp_path / "b.jsonl").write_bytes(content)
    (tmp_path / "b.jsonl.gz").write_bytes(content)
    for path in (tmp_path / "b.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "nowhere"):
        assert letters27.main([str(path), f"--out={tmp_path / 'out'}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_checksums_are_those_of_the_text_that_was_measured_on(shared_data):
    for name, digest in letters27.SHA256.items():
        with gzip.open(shared_data / "text" / "letters27" / f"{name}.txt.gz") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest


def test_the_books_that_were_used_are_those_of_the_list(shared_data, tmp_path):
    """The five that are shortest, since all take ten seconds; the whole has the checksums above."""
    with gzip.open(shared_data / "text" / "gutenberg" / "books_en.jsonl.gz", "rt", encoding="utf-8") as lines:
        short = sorted(lines, key=len)[:5]
    (tmp_path / "short.jsonl").write_text("".join(short), encoding="utf-8")
    numbers = [json.loads(line)["pg_id"] for line in short]
    wanted = {number: letters27.BOOKS[number] for number in numbers}
    books = letters27.read_books(tmp_path / "short.jsonl", wanted)
    parts = letters27.split(books)
    for name in ("valid", "test"):
        with gzip.open(shared_data / "text" / "letters27" / f"{name}.txt.gz", "rt") as file:
            measured_on = file.read()
        cuts = [len(book) for book in books]
        assert all(letters27.split([book])[name] in measured_on for book in books)
        assert len(parts[name]) == sum(len(letters27.split([book])[name]) for book in books) + len(cuts) - 1

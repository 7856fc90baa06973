"""Every language of the declaration, Chinese poems and a Japanese novel, through PNG and back."""

import gzip
import itertools
import json
import zipfile

import numpy as np
import pytest

from pixjax.codec import CanvasCodec
from pixjax.codec.png import read_page, write_pages
from pixjax.errors import InputError


@pytest.fixture(scope="module")
def texts(shared_data) -> dict[str, str]:
    """The beginning of every text, cut at any character."""
    with zipfile.ZipFile(shared_data / "text/udhr2/udhr2.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        found = {name: archive.read(name).decode("utf-8")[:200] for name in names}
    with gzip.open(shared_data / "text/chinese-poetry/poetry.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in itertools.islice(lines, 50):
            poem = json.loads(line)
            found[poem["id"]] = "\n".join(poem["paragraphs"])
    for name in ("botchan", "wagahaiwa_nekodearu"):
        found[name] = (shared_data / f"text/japanese-novel/{name}.txt").read_bytes().decode("utf-8")[:8_000]
    return found


def through_png(codec: CanvasCodec, documents: list[str], folder) -> tuple[str, ...]:
    paths = write_pages(folder / "x.png", codec.encode(documents), codec)
    pages = [read_page(path) for path in paths]
    return pages[0].codec.decode(np.stack([page.canvas for page in pages])).documents


@pytest.mark.parametrize(
    ("tokenizer", "code", "layout"),
    [
        ("bytes", "radix:auto:1", "raster"),
        ("tokenizers/gpt2_vocab.json", "radix:auto:2:gray", "patch"),
    ],
)
def test_every_language_comes_back_exactly(shared_data, texts, tmp_path, tokenizer, code, layout):
    tokenizer = tokenizer if tokenizer == "bytes" else str(shared_data / tokenizer)
    codec = CanvasCodec(tokenizer, code, layout, 128)
    assert len(texts) > 400
    assert through_png(codec, list(texts.values()), tmp_path) == tuple(texts.values())


@pytest.mark.parametrize(("model", "share"), [("spm_test_model.model", 0.02), ("spm_test_ja_model.model", 0.1)])
def test_sentencepiece_brings_back_every_line_that_it_covers(shared_data, texts, tmp_path, model, share):
    codec = CanvasCodec(str(shared_data / "tokenizers" / model), "radix:auto:1", "raster", 128)
    lines = [line for text in texts.values() for line in text.splitlines() if line]
    covered = []
    for line in lines:
        try:
            codec.tokenize(line)
        except InputError:
            continue
        covered.append(line)
    assert len(covered) > share * len(lines)
    assert through_png(codec, covered, tmp_path) == tuple(covered)

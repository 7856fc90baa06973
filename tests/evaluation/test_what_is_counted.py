"""What bits are divided by: the letters of an answer and not the PAD after it, and each character once."""

import json

import numpy as np
import pytest

from pixjax.codec import TEXT, CanvasCodec
from pixjax.codec.subword import hugging_face_tokenizer, train_bpe
from pixjax.codec.tokenizer import ByteTokenizer
from pixjax.data import make_batches
from pixjax.diffusion.posterior import counted_cells
from pixjax.evaluation.held_out import read_canvases

CHINESE = "天地玄黄宇宙洪荒日月盈昃辰宿列张" * 40


def test_an_answer_counts_its_letters_and_its_end_alone_where_it_is_measured(tmp_path, tiny_config):
    rows = [{"prompt": "say it", "answer": "seventeen letters"}, {"prompt": "again", "answer": "no"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sources = [f"pairs:{tmp_path}/rows.jsonl"]
    config = tiny_config(model={"context_canvases": 1}, data={"sources": sources})
    codec = CanvasCodec(**config.codec_arguments())
    read = read_canvases(config, codec, sources, TEXT, 2)
    assert sorted(counted_cells(codec, read.mask).sum(axis=1)) == [3, 18]
    with make_batches(config, codec) as batches:  # in training, where an answer ends is learned from PAD
        trained = counted_cells(codec, next(batches)["loss_mask"]).sum(axis=1)
    assert set(trained) == {6, 36}


@pytest.mark.parametrize("name", ["bytes", "bpe"])
def test_a_character_that_canvases_part_counts_once_in_whatever_order_they_come(name):
    tokenizer = ByteTokenizer()
    if name == "bpe":
        tokenizer = hugging_face_tokenizer(train_bpe([CHINESE[:3]], 260), "some", normalize=False)
    ids = tokenizer.encode(CHINESE)
    assert tokenizer.count_characters(ids) == len(CHINESE)
    cut = [ids[start : start + 16] for start in range(0, len(ids), 16)]
    shuffled = np.concatenate([cut[i] for i in np.random.default_rng(0).permutation(len(cut))])
    assert tokenizer.count_characters(shuffled) == len(CHINESE)
    assert len(tokenizer.decode(shuffled)) > len(CHINESE)  # halves of a letter are read as several
    assert sum(map(tokenizer.count_characters, cut)) == len(CHINESE)

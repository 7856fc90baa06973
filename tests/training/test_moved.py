"""A run goes on with its data, its tokenizer and its first weights elsewhere, and not with others."""

import json
import shutil

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image

from pixjax.checkpoints.load import load
from pixjax.codec.subword import train_bpe
from pixjax.errors import InputError
from pixjax.training.train import train


def curve(workdir):
    return [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_what_was_moved_is_found_by_its_content_and_the_curve_goes_on_bit_for_bit(tmp_path, tiny_config, capsys):
    home, scratch = tmp_path / "home", tmp_path / "scratch [7]"
    rng = np.random.default_rng(0)
    (home / "pictures").mkdir(parents=True)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(home / "pictures" / f"{number}.png")
    text = "".join(rng.choice(list("etaoin shrdlu"), 4000))
    (home / "a.txt").write_text(text)
    (home / "mine.json").write_bytes(train_bpe([text], 270))

    def config(place, steps, **changes):
        return tiny_config(
            codec={"tokenizer": f"{place}/mine.json", "normalize": False, "code": "radix:auto:1"},
            data={"sources": [f"text:{place}/*.txt", f"images:{place}/pictures"]},
            training={"steps": steps, **changes},
        )

    train(config(home, 1), epath.Path(home / "first"))
    first = {"init_from": str(home / "first")}
    whole, moved = epath.Path(tmp_path / "whole"), epath.Path(tmp_path / "moved")
    train(config(home, 5, **first), whole)
    train(config(home, 3, **first), moved)
    shutil.move(home, scratch)
    capsys.readouterr()
    train(config(scratch, 5, init_from=str(scratch / "first")), moved)
    said = capsys.readouterr().err
    for note in (
        f"note: codec.tokenizer={scratch}/mine.json has the content of {home}/mine.json",
        f"note: training.init_from={scratch}/first has the content of {home}/first",
        f"note: text:{scratch}/*.txt has the content of text:{home}/*.txt, which this run began with",
        f"note: images:{scratch}/pictures has the content of images:{home}/pictures",
    ):
        assert note in said
    assert curve(moved) == curve(whole)
    jax.tree.map(np.testing.assert_array_equal, load(moved).params, load(whole).params)

    # `whole` has not moved yet: what it finds elsewhere now has to be what it began with.
    (scratch / "a.txt").write_text(text[::-1])
    files = {path: path.read_bytes() for path in map(tmp_path.joinpath, ["whole/config.json", "whole/metrics.jsonl"])}
    with pytest.raises(InputError, match=r"text:.*scratch.* (tokens and had|other content than).* was saved"):
        train(config(scratch, 6, init_from=str(scratch / "first")), whole)
    (scratch / "mine.json").write_bytes(train_bpe(["other words than those " * 50], 270))
    with pytest.raises(InputError, match="another tokenizer"):
        train(config(scratch, 6, init_from=str(scratch / "first")), whole)
    with pytest.raises(InputError, match=r"another config \(training\.init_from is"):
        train(config(scratch, 6, init_from=str(moved)), whole)
    assert {path: path.read_bytes() for path in files} == files

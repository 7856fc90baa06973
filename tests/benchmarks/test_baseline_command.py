"""The commands of the baselines: their result, on one device and on two, and what they refuse."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.baselines.autoregressive import AUTOREGRESSIVE
from benchmarks.baselines.command import run, write_result
from benchmarks.baselines.masked_diffusion import MASKED_DIFFUSION
from pixjax.errors import RunError

TINY = ["--length=16", "--width=32", "--depth=1", "--heads=2", "--batch-size=8", "--validations=2"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Arguments that name two documents to train on, one of 400 characters to validate and one to test on."""
    folder = tmp_path_factory.mktemp("texts")
    letters = np.random.default_rng(0).choice(list("abcdefgh "), 1200)
    (folder / "train-1.txt").write_text("".join(letters[:999]))
    (folder / "train-2.jsonl").write_text(json.dumps({"text": "".join(letters[:999])}))
    (folder / "rest.txt").write_text("".join(letters[-400:]).strip())
    return [f"--text={folder}/train*", f"--validation={folder}/rest.txt", f"--test={folder}/rest.txt"]


def result(baseline, out, *arguments):
    assert run(baseline, [*arguments, f"--out={out}"]) == 0
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def autoregressive(texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "autoregressive.json"
    return result(AUTOREGRESSIVE, out, *texts, *TINY, "--steps=20", "--stride=4")


def test_the_result_says_what_was_done(autoregressive, texts):
    made = autoregressive
    assert made["name"] == "autoregressive transformer"
    assert [made[key] for key in ("steps", "training_characters", "length", "seed")] == [20, 20 * 8 * 16, 16, 0]
    assert made["test_characters"] % 16 == 0
    block = 4 * 32 * 32 + 3 * 32 * 85
    assert made["training_flops"] == made["training_characters"] * (6 * (block + 32 * 27) + 12 * 16 * 32)
    assert made["parameters"] == block + 32 * 27 + 32 * 28 + 3 * 32 + 2 * 16  # embedding and norms are the rest
    assert [step for step, _ in made["validation_curve"]] == [10, 20]
    assert made["command"].startswith("python -m benchmarks.baselines.autoregressive '--text=")
    assert (made["optimizer"], made["learning_rate"]) == ("adamw", 2e-3)
    assert made["seconds"] > 0
    assert "cpu" in made["hardware"]
    for figures in (made, made["sliding"]):
        assert 0 < figures["bits_per_char_stderr"] < 0.2
        assert 2 < figures["bits_per_char"] < np.log2(27)
    assert made["bits_per_char"] == pytest.approx(made["validation_curve"][-1][1])  # of the same text


def test_two_devices_learn_what_one_learns(autoregressive, texts, tmp_path):
    out = tmp_path / "two.json"
    command = [sys.executable, "-m", AUTOREGRESSIVE.module, *texts, *TINY, "--steps=20", f"--out={out}"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    two = json.loads(out.read_text())
    assert two["hardware"].startswith("2 x cpu")
    assert two["bits_per_char"] == pytest.approx(autoregressive["bits_per_char"], rel=1e-3)


def test_steps_may_be_given_as_characters(texts, tmp_path):
    """Of bytes, two of which spell the one letter that is not ASCII; the figure is for characters."""
    (tmp_path / "accents.txt").write_text("é" * 300)
    same = [f"--{name}={tmp_path}/accents.txt" for name in ("text", "validation", "test")]
    options = ["--tokenizer=bytes", "--characters=1000", "--samples=2"]
    made = result(MASKED_DIFFUSION, tmp_path / "out.json", *same, *TINY, *options)
    assert made["name"] == "masked diffusion"
    assert made["steps"] == round(1000 / (8 * 16 * 300 / 601))
    assert made["training_characters"] == round(made["steps"] * 8 * 16 * 300 / 601)
    assert made["test_characters"] == 601 // 16 * 16 // 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--text=nothing*"], "--text 'nothing*' matches no file"),
        (["--length=300"], "--validation has 400 tokens, fewer than two windows of --length=300"),
        (["--test-tokens=20"], "--test has 20 tokens, fewer than two windows"),
        (["--heads=3"], "--heads=3 does not divide --width=32 into heads of even width: choose a multiple of 6"),
        (["--tokenizer=letters"], "tokenizer 'letters' is unknown"),
        (["--batch-size=0"], "--batch-size=0 has to be 1 or more"),
        (["--steps=0"], "give one of them"),
        (["--learning-rate=nan"], "--learning-rate=nan has to be between 0 and 1"),
        (["--dropout=1"], "--dropout=1.0 has to be in [0, 1)"),
        (["--stride=17"], "--stride=17 is not between 1 and --length=16"),
        (["--out=no/such/folder.json"], "there is no folder"),
        (["--seed=9999999999"], "--seed=9999999999 has to be at most"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(texts, tmp_path, capsys, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    assert run(AUTOREGRESSIVE, [*texts, *TINY, "--steps=1", "--out=out.json", *changes]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_written_is_printed(tmp_path, capsys):
    with pytest.raises(RunError, match="cannot be written"):
        write_result(str(tmp_path / "removed meanwhile" / "out.json"), {"steps": 1})
    assert json.loads(capsys.readouterr().out) == {"steps": 1}

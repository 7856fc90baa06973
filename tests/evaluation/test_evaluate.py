"""`pixjax evaluate`: what it writes, what it keeps when it is stopped, and what it does without."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from etils import epath

from pixjax.checkpoints.load import load
from pixjax.cli import main
from pixjax.codec import TEXT
from pixjax.diffusion import WHOLE
from pixjax.diffusion.posterior import counted_cells
from pixjax.errors import InputError
from pixjax.evaluation.evaluate import EvaluationCounter, Stopped
from pixjax.evaluation.held_out import read_held_out
from pixjax.evaluation.order_likelihood import passes_per_canvas
from pixjax.evaluation.references import ngram_scale
from pixjax.evaluation.result_cache import ResultCache
from pixjax.report.run import evaluate
from pixjax.sampling import checks
from pixjax.sampling.generate import generate as generate_canvases


@pytest.fixture(scope="module")
def metrics(evaluated):
    return json.loads((evaluated / "metrics.json").read_text())


def test_the_figures_of_both_modalities_are_there(metrics):
    assert {"bits_per_char", "bits_per_token", "bits_per_dim", "bits_per_dim_stderr"} <= set(metrics)
    assert metrics["bits_per_char"] == metrics["text"]["likelihood"]["mixed"]["bits_per_char"]
    assert metrics["bits_per_dim"] == metrics["image"]["likelihood"]["mixed"]["bits_per_dim"]
    by_canvas, likelihood = metrics["canvas_bits"]["image"], metrics["image"]["likelihood"]
    for name in ("network", "mixed"):
        assert sum(by_canvas[name]) / likelihood["dims"] == pytest.approx(likelihood[name]["bits_per_dim"])
    assert 3 < metrics["bits_per_char"] < 27  # hardly trained: about the entropy of its letters
    for label in ("average", "raw"):
        curves = metrics["text"]["denoising"][label]
        assert len(curves["t"]) == len(curves["x_mse/text"]) == len(curves["token_accuracy/text"])
    assert 0 <= metrics["text"]["samples"]["valid_words"] <= 1
    assert metrics["image"]["samples"]["swd/mean"] > metrics["image"]["samples"]["held_out"]["swd/mean"]
    assert metrics["references"]["ngrams"]["1"] > 3
    assert metrics["forward_share"] > 0


def test_n_grams_are_measured_on_the_canvases_that_bits_are_measured_on(workdir, metrics):
    """All of them and nothing else, each by itself."""
    denoiser = load(workdir)
    data = read_held_out(denoiser.config, denoiser.codec, denoiser.modalities)
    test = data.test[TEXT]
    ids, counted = denoiser.codec.nearest_ids(test.canvases), counted_cells(denoiser.codec, test.mask)
    letters = np.array(list(" abcdefghijklmnopqrstuvwxyz"))
    texts = ["".join(letters[row[here]]) for row, here in zip(ids, counted, strict=True)]
    assert sum(map(len, texts)) == metrics["text"]["likelihood"]["characters"] < len(data.test_text)
    expected = ngram_scale(data.training_text, texts)
    assert metrics["references"]["ngrams"] == pytest.approx({str(n): bits for n, bits in expected.items()})


def test_the_evaluations_are_counted(metrics):
    """Validation is a quarter of eight canvases, and fills a batch of four; a sample takes two steps of Heun,
    the last of which is one of Euler.
    """
    likelihood = 2 * (8 + 4) * 2
    denoising = 2 * 2 * 8 * len(metrics["text"]["denoising"]["raw"]["t"])
    samples = 3 * 4 * (2 * 2 - 1)
    assert metrics["evaluations"] == likelihood + denoising + samples


def test_the_report_and_the_samples_are_there(evaluated):
    page = (evaluated / "report.html").read_text()
    for words in ("bits per character", "Canvas inspector", "Training", "matched filter", "step by step"):
        assert words in page
    assert len((evaluated / "samples" / "text" / "text.jsonl").read_text().splitlines()) == 4
    assert len(list((evaluated / "samples" / "image" / "images").iterdir())) == 4


def test_the_same_command_measures_nothing_again(workdir, evaluated, metrics, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("was measured before")

    monkeypatch.setattr("pixjax.evaluation.evaluate.evaluate_likelihood", fail)
    monkeypatch.setattr("pixjax.evaluation.evaluate.generate", fail)
    again = evaluate(workdir, evaluated)
    assert again["text"]["likelihood"] == metrics["text"]["likelihood"]
    assert again["image"]["samples"] == metrics["image"]["samples"]


def test_each_kind_of_samples_is_checked_once_and_one_that_is_refused_is_a_note(workdir, evaluated_copy, monkeypatch):
    """Refused by a word of its own, in the place of what a model may lack; the other kinds are sampled."""
    checked, made, possible_blocks = [], [], checks._possible_blocks

    def check(denoiser, modality, *rest):
        checked.append(modality)
        if modality == "any":
            raise InputError("not this kind")
        return possible_blocks(denoiser, modality, *rest)

    def generate(denoiser, choice, *rest, **how):
        made.append(choice)
        return generate_canvases(denoiser, choice, *rest, **how)

    monkeypatch.setattr(checks, "_possible_blocks", check)
    monkeypatch.setattr("pixjax.evaluation.evaluate.generate", generate)
    for kept in evaluated_copy.glob("parts/*_samples.npz"):
        kept.unlink()
    metrics = evaluate(workdir, evaluated_copy)
    assert checked == ["text", "image", "any"]
    assert made == ["text", "image"]
    assert "not this kind" in metrics["notes"]


def test_what_is_missing_is_said_and_the_rest_is_measured(workdir, tmp_path):
    said = []
    changes = {"evaluation.test": ["text:nowhere/*.txt"], "evaluation.samples": 0}
    metrics = evaluate(workdir, epath.Path(tmp_path), changes, say=said.append)
    notes = "\n".join(metrics["notes"])
    assert "text source 'nowhere/*.txt' matches no file" in notes
    assert "it is left out: name where it lies now, or another, with --test" in notes
    assert "no held-out image" in notes
    assert "no validation text: training canvases take its place" in notes
    assert "bits_per_char" not in metrics
    assert (tmp_path / "report.html").exists()
    assert sum(line.startswith("note: ") for line in said) == len(metrics["notes"])


def test_a_stopped_evaluation_keeps_its_parts(workdir, tmp_path):
    asked = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 4  # in the middle of the curves

    with pytest.raises(Stopped):
        evaluate(workdir, epath.Path(tmp_path), stop=stop)
    assert (tmp_path / "parts" / "text_likelihood.json").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_sigterm_keeps_what_is_measured_and_exits_cleanly(workdir, tmp_path):
    command = [sys.executable, "-m", "pixjax", "evaluate", f"--workdir={workdir}", f"--out={tmp_path}"]
    run = subprocess.Popen([*command, "--num-canvases=5000"], stdout=subprocess.PIPE, text=True, env=os.environ)
    while not (tmp_path / "parts").exists():
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0
    assert "the same command continues" in said


def test_kept_parts_are_not_those_of_other_settings(tmp_path):
    first, second = (ResultCache.of(epath.Path(tmp_path), seed=seed) for seed in (0, 1))
    assert first.get("part", lambda: 1) == 1
    assert first.get("part", lambda: 2) == 1
    assert second.get("part", lambda: 3) == 3
    (tmp_path / "part.json").write_text('{"key": "')  # killed while it wrote
    assert second.get("part", lambda: 4) == 4
    arrays = first.get_arrays("arrays", lambda: {"x": np.arange(3)})
    np.testing.assert_array_equal(first.get_arrays("arrays", dict)["x"], arrays["x"])


def test_the_meter_counts_and_stops():
    meter = EvaluationCounter()
    meter(3)
    meter(4)
    assert meter.evaluations == 7
    with pytest.raises(Stopped):
        EvaluationCounter(stop=lambda: True)(1)


def test_guidance_is_a_second_pass_where_there_is_any(workdir):
    """Of samples without a label and a prompt: those of a whole canvas, by a model that can do without its type."""
    denoiser = load(workdir)

    def passes(blocks, **training):
        config = dataclasses.replace(denoiser.config.sampling, guidance=2.0, sampler="heun", steps=2)
        trained = dataclasses.replace(denoiser.config.training, **training)
        model = dataclasses.replace(denoiser.config.model, tagging="both", text_condition=True)
        config = dataclasses.replace(denoiser.config, sampling=config, training=trained, model=model)
        return passes_per_canvas(dataclasses.replace(denoiser, config=config), blocks)

    assert passes(WHOLE) == 3
    assert passes(WHOLE, type_dropout=0.1) == 6
    assert passes("1", type_dropout=0.1) == 1
    half = -(-denoiser.codec.capacity // 2)
    assert passes(str(half), type_dropout=0.1) == 6  # two blocks, without guidance


def test_held_out_canvases_are_the_same_each_time_and_none_twice(workdir):
    denoiser = load(workdir)
    first, second = (read_held_out(denoiser.config, denoiser.codec, denoiser.modalities) for _ in range(2))
    for modality in (0, 1):
        np.testing.assert_array_equal(first.test[modality].canvases, second.test[modality].canvases)
        flat = first.test[modality].canvases.reshape(len(first.test[modality]), -1)
        assert len(np.unique(flat, axis=0)) == len(flat) == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed=-1"], "--seed=-1 has to be between"),
        (["--test=txt:held_out/*.txt"], "data source 'txt:held_out/*.txt' is not one of"),
        (["--ema=0.123"], "--ema=0.123 is not kept"),
        (["--num-canvases=1"], "evaluation.canvases=1 has to be at least 2"),
        (["--sampler=ddim"], "sampling.sampler='ddim' is unknown"),
        (["--baselines=nowhere.json"], "is not a result of benchmarks/baselines"),
        (["--checkpoint=77"], "no checkpoint at step 77"),
    ],
)
def test_wrong_input_is_one_line(workdir, tmp_path, capsys, arguments, words):
    assert main(["evaluate", f"--workdir={workdir}", f"--out={tmp_path / 'out'}", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1

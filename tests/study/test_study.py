"""A study trains what it says, goes on where it stopped, and concludes no more than its numbers carry."""

import json
import math

import numpy as np
import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.cli import main
from pixjax.errors import InputError
from pixjax.evaluation.evaluate import Stopped
from pixjax.study.statistics import conclusion, mean_and_interval, relative_changes
from pixjax.study.study import Comparison, read_study, run_folder, run_study
from pixjax.training.state import make_model

STUDY = """
import ml_collections
def get_study():
    return {{
        "title": "two tags",
        "base": ml_collections.ConfigDict({base!r}),
        "seeds": (0,),
        "arms": {{
            "text": {{"changes": {{"model.tagging": "none", "codec.marker": False, "data.text_ratio": 1.0}}}},
            "both": {{
                "changes": {{"model.tagging": "condition", "codec.marker": False}}, "length": 0.5, "start_from": "text",
            }},
        }},
        "comparisons": [{{"name": "mixing", "reference": "text", "arm": "both"}}],
    }}
"""


@pytest.fixture(scope="module")
def study_file(tmp_path_factory, tiny_config):
    evaluation = {"canvases": 4, "samples": 0, "num_times": 1, "batch_size": 4, "reference_characters": 2000}
    evaluation["denoising"] = False
    evaluation["test"] = ["demo:text?part=held_out", "demo:images"]
    base = tiny_config(training={"steps": 2, "decay": "constant"}, evaluation=evaluation).to_dict()
    path = tmp_path_factory.mktemp("study") / "two_tags.py"
    path.write_text(STUDY.format(base=base))
    return path


@pytest.fixture(scope="module")
def workdir(study_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studied")
    assert main(["study", f"--config={study_file}", f"--workdir={folder}"]) == 0
    return folder


def test_every_arm_is_trained_as_long_as_it_says_and_measured(workdir):
    results = json.loads((workdir / "results.json").read_text())
    for arm, steps in (("text", 2), ("both", 1)):
        assert saved_steps(run_folder(epath.Path(workdir), arm, 0)) == [steps]
        assert results["arms"][arm]["0"]["step"] == steps
        assert results["arms"][arm]["0"]["text"].keys() >= {"likelihood"}
        assert "denoising" not in results["arms"][arm]["0"]["text"]  # which the study asked to leave out
    change, _ = results["taxes"]  # the other is of the network alone; text alone has no bits per dimension to compare
    assert (change["low"], change["high"]) == (None, None)  # one seed
    figures = [[results["arms"][arm]["0"]["bits_per_char"]] for arm in ("both", "text")]
    changes = [100 * (ours / theirs - 1) for ours, theirs in zip(*figures, strict=True)]
    assert change["percent"] == pytest.approx(changes[0])
    assert "What follows" in (workdir / "report.html").read_text()


def test_the_same_command_trains_and_measures_nothing_again(study_file, workdir, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("was done before")

    monkeypatch.setattr("pixjax.study.study.train", fail)
    monkeypatch.setattr("pixjax.evaluation.evaluate.evaluate_likelihood", fail)
    before = (workdir / "results.json").read_text()
    assert main(["study", f"--config={study_file}", f"--workdir={workdir}"]) == 0
    taxes = [json.loads(text)["taxes"] for text in (before, (workdir / "results.json").read_text())]
    assert taxes[0] == taxes[1]


def test_a_study_that_was_stopped_ends_with_the_exit_code_that_a_launcher_asked_for(study_file, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise Stopped

    monkeypatch.setattr("pixjax.study.study.run_study", stopped)
    study = ["study", f"--config={study_file}", f"--workdir={tmp_path}"]
    assert [main(study), main([*study, "--stopped-exit-code=42"])] == [0, 42]


def test_all_arms_of_a_seed_come_before_the_next_and_start_from_their_own_seed(study_file, tmp_path, monkeypatch):
    trained = []

    def train(config, folder):
        trained.append((folder.name, config.training.seed, config.training.init_from))
        return True

    def measure(folder, out, *, seed, **_):
        return {"folder": folder.name, "judged_with": seed}

    monkeypatch.setattr("pixjax.study.study.train", train)
    monkeypatch.setattr("pixjax.study.study.evaluate", measure)
    results = run_study(read_study(str(study_file), seeds=(3, 5)), epath.Path(tmp_path))
    origin = {seed: str(run_folder(epath.Path(tmp_path), "text", seed)) for seed in (3, 5)}
    assert trained == [
        ("text-seed3", 3, ""), ("both-seed3", 3, origin[3]), ("text-seed5", 5, ""), ("both-seed5", 5, origin[5]),
    ]  # fmt: skip
    assert results["both"][5] == {"folder": "both-seed5", "judged_with": 0}  # all on the same canvases and noise


@pytest.mark.parametrize(
    ("name", "ways"), [("study_mixing", ("marker", "condition", "finetuned")), ("study_best", ("condition",))]
)
def test_the_packaged_studies_match_samples_and_compute(name, ways):
    study = read_study(name, ["--config.training.steps=600"])
    seen = {}
    for arm in study.arms:
        config = study.config(arm, 0, epath.Path("w"))
        ratio = config.data.text_ratio
        make_model(config)  # which refuses parts that do not fit the arm
        steps, before = config.training.steps, seen.get(arm.start_from, (0, 0))
        seen[arm.name] = (before[0] + steps * ratio, before[1] + steps * (1 - ratio))
    for way in ways:
        assert seen[f"{way}_samples"] == pytest.approx((seen["text"][0], seen["image"][1]))
        assert sum(seen[f"{way}_compute"]) == pytest.approx(600)


def test_the_interval_is_students():
    mean, low, high = mean_and_interval([1.0, 2.0, 4.0])
    half = 4.302653 * math.sqrt(7 / 3) / math.sqrt(3)  # the 97.5 % point of t with two degrees of freedom
    assert (mean, low, high) == pytest.approx((7 / 3, 7 / 3 - half, 7 / 3 + half))
    assert mean_and_interval([1.0, 1.0]) == (1.0, -math.inf, math.inf)  # that two agree says nothing


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Of seeds and canvases that both vary: each seed of the same canvases, which the mean over seeds keeps."""
    random, held, count = np.random.default_rng(0), 0, 2000
    for _ in range(count):
        canvas_error = random.normal(scale=0.5)
        _, low, high = mean_and_interval(list(canvas_error + random.normal(scale=0.3, size=3)), 0.5)
        held += low < 0 < high
    assert 0.94 < held / count < 0.99


def results(reference, arm, canvases=(0.0,) * 8):
    """Each seed's canvases take its figure, changed in the arm by a share of its own for each of them."""

    def run(value, shares):
        bits = [value * (1 + share) for share in shares]
        by_canvas = {"text": {"network": [1.0] * len(bits), "mixed": bits}}
        return {"bits_per_char": value, "canvas_bits": by_canvas, "text": {"likelihood": {"headline": "mixed"}}}

    return {
        "a": {seed: run(value, [0.0] * len(canvases)) for seed, value in enumerate(reference)},
        "b": {seed: run(value, canvases) for seed, value in enumerate(arm)},
    }


@pytest.mark.parametrize(
    ("reference", "arm", "words"),
    [
        ([2.0, 2.2, 2.4], [2.1, 2.31, 2.52], "b is worse"),
        ([2.0, 2.2, 2.4], [1.9, 2.09, 2.28], "b is better"),
        ([2.0, 2.2, 2.4], [2.1, 2.1, 2.4], "no difference is shown"),
        ([2.0, 2.2], [2.1, 2.31], "nothing can be concluded"),
        ([2.0], [4.0], "nothing can be concluded"),
    ],
)
def test_a_conclusion_says_what_the_interval_carries(reference, arm, words):
    (change,) = relative_changes([Comparison(name="n", reference="a", arm="b")], results(reference, arm))
    assert words in conclusion(change)


def test_canvases_that_disagree_make_a_difference_uncertain():
    """Three seeds agree to the last digit that the arm is worse by 5 %, on canvases that are far from agreeing."""
    comparison = [Comparison(name="n", reference="a", arm="b")]
    shares = (0.3, -0.3, 0.2, -0.2)
    (change,) = relative_changes(comparison, results([2.0] * 3, [2.1] * 3, shares))
    half = 1.959964 * 105 * math.sqrt(4 / 3 * sum(share**2 for share in shares)) / 4
    assert (change.low, change.high) == pytest.approx((5 - half, 5 + half))
    assert "no difference is shown" in conclusion(change)
    (alike,) = relative_changes(comparison, results([2.0] * 3, [2.1] * 3))
    assert "b is worse" in conclusion(alike)


def test_without_what_each_canvas_took_nothing_is_concluded():
    runs = results([2.0, 2.2, 2.4], [2.1, 2.31, 2.52])
    del runs["b"][1]["canvas_bits"]
    (change,) = relative_changes([Comparison(name="n", reference="a", arm="b")], runs)
    assert "Measure the runs again" in conclusion(change)


def test_seeds_that_one_arm_lacks_are_left_out():
    (change,) = relative_changes([Comparison(name="n", reference="a", arm="b")], results([2.0, 3.0], [2.2]))
    assert change.seeds == 1
    assert change.percent == pytest.approx(10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"start_from": "text"', '"start_from": "later"'), "name one of the arms before it"),
        (('"arm": "both"', '"arm": "bth"'), "names 'bth': the arms are text, both"),
        (('"seeds": (0,)', '"seeds": (1, 1)'), "different seeds"),
        (("model.tagging", "model.taging"), "did you mean 'model.tagging'"),
        (('"length"', '"lenght"'), "unknown key 'lenght'"),
        (("get_study", "get_config"), "is a config, give it to pixjax train"),
        (("get_study", "make"), "has no get_study(): define it, as the files in pixjax/configs do"),
    ],
)
def test_a_study_that_is_not_possible_is_refused_in_one_line(study_file, tmp_path, change, words):
    path = tmp_path / "wrong.py"
    path.write_text(study_file.read_text().replace(*change))
    with pytest.raises(InputError) as error:
        read_study(str(path))
    assert words in str(error.value)

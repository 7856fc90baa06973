"""`study_decides` compares what differs in sharing alone, the decisive runs first, and answers as it goes."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from pixjax.cli import main
from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.data.batch_plan import make_plan
from pixjax.errors import InputError
from pixjax.paths import user_path
from pixjax.study.decision import decide
from pixjax.study.decision_report import decision_sections
from pixjax.study.study import Study, read_study, run_folder
from pixjax.training.optimizer import make_optimizer
from pixjax.training.rows import rows_by_order
from pixjax.training.state import make_model

HERE = epath.Path("w")


@pytest.fixture(scope="module")
def study():
    return read_study("study_decides")


@pytest.fixture(scope="module")
def configs(study):
    return {arm.name: study.config(arm, 0, HERE) for arm in study.arms}


def drawn(config, modality, updates=4):
    """What an arm draws of a modality, in order: canvases, masks, and in which order of decision each is learned."""
    codec, rows = CanvasCodec(**config.codec_arguments()), rows_by_order(config)
    plan, canvases, masks, orders = make_plan(config, codec), [], [], []
    for step in range(updates):
        batch = plan[step]
        is_mine = batch["modality"] == modality
        order = np.empty(len(is_mine), object)
        for name in rows.of:
            order[rows.take(name, np.arange(len(is_mine)))] = name
        canvases.append(batch["canvas"][is_mine])
        masks.append(batch["loss_mask"][is_mine])
        orders += order[is_mine].tolist()
    return np.concatenate(canvases), np.concatenate(masks), orders


@pytest.mark.parametrize(
    ("alone", "arm"),
    [
        *(("text", arm) for arm in ("both", "both_faster", "both_compute", "shuffled")),
        *(("images", arm) for arm in ("both", "both_faster", "both_after_text")),
        ("text_marked", "both_marked"),
        ("images_marked", "both_marked"),
        ("text_w96", "both_w96"),
        ("images_48T", "both_48T"),
    ],
)
def test_each_modality_sees_the_same_canvases_in_the_same_order_alone_and_beside_the_other(configs, alone, arm):
    modality = TEXT if alone.startswith("text") else IMAGE
    (mine, my_mask, my_order), (theirs, their_mask, their_order) = (
        drawn(configs[name], modality) for name in (alone, arm)
    )
    assert len(mine) == 4 * 16
    assert len(np.unique(mine, axis=0)) > 60
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(my_mask, their_mask)
    if modality == TEXT:
        assert my_order == their_order
        assert my_order.count("1") == 48


def test_shuffled_images_are_the_same_images_with_their_pixels_in_one_other_order(configs):
    (images, *_), (shuffled, *_) = (drawn(configs[name], IMAGE) for name in ("both", "shuffled"))
    images, shuffled = (canvases.reshape(len(canvases), -1, 3).astype(int) for canvases in (images, shuffled))
    codes, places = (canvases @ [65536, 256, 1] for canvases in (images, shuffled))
    np.testing.assert_array_equal(np.sort(codes, axis=1), np.sort(places, axis=1))
    # Each place has its pixels, over all canvases, from one place alone.
    columns = {tuple(column) for column in codes.T.tolist()}
    assert {tuple(column) for column in places.T.tolist()} == columns
    assert len(columns) == 256
    assert (codes != places).mean() > 0.9

    def roughness(canvases):
        return np.abs(np.diff(canvases.reshape(-1, 16, 16, 3), axis=2)).mean()

    assert roughness(shuffled) > 1.5 * roughness(images)


def test_the_optimizer_does_not_see_whether_losses_are_summed_or_averaged(configs):
    """Half of every gradient, as of a mean over twice the canvases, makes the same steps: nothing is clipped."""
    training = configs["both"].training
    assert (training.optimizer, training.clip_norm) == ("muon", 0.0)
    params = {"block_0": {"kernel": jnp.ones((1, 8, 6))}, "final": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}}

    def steps(scale, training):
        optimizer, updates = make_optimizer(training), []
        state, update_of = optimizer.init(params), jax.jit(optimizer.update)
        for size in (1.0, 30.0, 0.3):  # now far above a norm of one, now below
            random = np.random.default_rng(int(10 * size))
            gradient = {
                layer: {name: np.asarray(scale * size * random.normal(size=x.shape), x.dtype) for name, x in of.items()}
                for layer, of in params.items()
            }
            update, state = update_of(gradient, state, params)
            updates.append(update)
        return np.concatenate([np.ravel(x) for x in jax.tree.leaves(updates)])

    np.testing.assert_allclose(steps(0.5, training), steps(1.0, training), atol=1e-4)
    clipped = dataclasses.replace(training, clip_norm=10.0)
    assert np.abs(steps(0.5, clipped) - steps(1.0, clipped)).max() > 0.01


def test_arms_that_are_compared_take_as_many_updates_and_computation_is_what_is_counted(study, configs):
    for name, config in configs.items():
        make_model(config)  # which refuses parts that do not fit the arm
        assert config.training.warmup_steps == pytest.approx(0.1 * config.training.steps, abs=1)
        assert name
    for suffix, teraflops in {"": 12, "_6T": 6, "_24T": 24, "_48T": 48, "_w96": 12, "_w384": 12}.items():
        steps = {configs[f"{name}{suffix}"].training.steps for name in ("text", "images", "both")}
        assert len(steps) == 1
        assert study.teraflops[f"text{suffix}"] == pytest.approx(teraflops, rel=0.01)
        assert study.teraflops[f"both{suffix}"] > study.teraflops[f"text{suffix}"]
    assert study.teraflops["both_compute"] == pytest.approx(12, rel=0.01)
    assert configs["both_compute"].training.steps < configs["text"].training.steps
    half = configs["text_half"].training.steps + configs["both_after_text"].training.steps / 2
    assert half == pytest.approx(configs["text"].training.steps, abs=1)  # as much text in all


def test_the_decisive_runs_come_first(study):
    runs = [(arm.name, seed) for arm, seed in study.runs]
    assert len(runs) == len(set(runs))
    assert runs[:6] == [(name, seed) for seed in (0, 1) for name in ("text", "images", "both")]
    counts = {name: sum(other == name for other, _ in runs) for name in ("text", "images", "both", "both_48T")}
    assert counts == {"text": 5, "images": 7, "both": 7, "both_48T": 3}
    assert {name for name, _ in runs[:19]} == {"text", "images", "both"}
    assert {name.rpartition("_")[2] for name, _ in runs[19:46]} == {"6T", "24T", "48T"}


def test_seeds_that_are_asked_for_leave_an_arm_those_of_its_own():
    some = read_study("study_decides", seeds=(4, 6))
    by_arm = {arm.name: some.seeds_of(arm) for arm in some.arms}
    assert [by_arm[name] for name in ("text", "images", "both_6T")] == [(4,), (4, 6), ()]
    for seeds in ((40,), (4, 40)):
        with pytest.raises(InputError, match=r"no arm of study_decides has seed 40: choose among 0,1,2,3,4,5,6$"):
            read_study("study_decides", seeds=seeds)
    with pytest.raises(InputError, match="--seeds=4,6,4 names 4 twice: give different seeds"):
        read_study("study_decides", seeds=(4, 6, 4))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"updates_of": "later"}, "updates_of='later': name one of the arms before it"),
        ({"updates_of": "first", "teraflops": 1.0}, "both say its steps"),
        ({"start_from": "first", "seeds": (0, 9)}, "has seed 9 and starts from 'first', which has not"),
        ({"start_from": "first", "stage": -1}, "name one of the arms before it"),
    ],
)
def test_arms_that_are_not_possible_are_refused_in_one_line(tiny_config, changes, words):
    arms = {"first": {"changes": {}}, "second": {"changes": {}} | changes, "later": {"changes": {}}}
    with pytest.raises(InputError, match=words):
        Study.from_dict({"title": "t", "arms": arms, "seeds": (0,)}, tiny_config())


# The answer


def metrics(text, image, rng):
    """A run's, in which every canvas takes nearly what the mean does."""

    def bits(value):
        return (value * (1 + 1e-4 * rng.normal(size=64))).tolist()

    found = {"canvas_bits": {}}
    if text:
        found |= {"bits_per_char": text, "blocks": "1", "text": {"likelihood": {"headline": "mixed", "canvases": 64}}}
        found["canvas_bits"]["text"] = {"blocks=1": bits(text)}
    if image:
        found |= {"bits_per_dim": image, "image": {"likelihood": {"headline": "network", "canvases": 64}}}
        found["canvas_bits"]["image"] = {"network": bits(image)}
    return found


def simulated(study, arms, text_cost, image_cost):
    """Runs of these arms: L falls with a power of the computation, and what has both costs so much in ln L."""
    rng = np.random.default_rng(0)
    results = {arm.name: {} for arm in study.arms}
    for arm in study.arms:
        if arm.name not in arms:
            continue
        kind, _, suffix = arm.name.partition("_")
        x = {m: math.log(study.teraflops[f"{m}_{suffix}".strip("_")]) for m in ("text", "images")}
        for seed in study.seeds_of(arm):
            luck = np.random.default_rng(seed).normal(scale=0.002, size=2)
            text = math.exp(1 - 0.1 * x["text"] + luck[0] + rng.normal(scale=3e-4) + text_cost * (kind == "both"))
            image = math.exp(2 - 0.05 * x["images"] + luck[1] + rng.normal(scale=3e-4) + image_cost * (kind == "both"))
            has = {"text": (text, None), "images": (None, image)}.get(kind, (text, image))
            results[arm.name][seed] = metrics(*has, rng)
    return results


CURVE = [f"{kind}{suffix}" for suffix in ("", "_6T", "_24T", "_48T") for kind in ("text", "images", "both")]


def test_the_answer_follows_from_the_numbers(study):
    decision = decide(study, simulated(study, CURVE, text_cost=0.02, image_cost=0.001))
    text, image = decision.to_dict()["answer"]
    assert text.startswith("In a model of both, text is worse than alone: +2.0")
    assert "5 seeds at 12 TFLOP" in text
    assert image.startswith("In a model of both, images are equivalent to alone within ±0.5 %: +0.")
    assert "7 seeds at 5.31 TFLOP" in image
    of_text, of_images = decision.curves
    assert (of_text.name, of_images.name) == ("text", "images")
    assert of_text.alone.slope == pytest.approx(-0.1, abs=0.005)
    assert of_images.alone.slope == pytest.approx(-0.05, abs=0.005)
    for curve, cost in ((of_text, 0.02), (of_images, 0.001)):
        middle, low, high = curve.predict(191.0)
        assert low < cost < high
        assert middle == pytest.approx(cost, abs=0.002)
    multiple, low, high = decision.findings[0].multiple
    assert low < math.exp(-0.02 / 0.1) < high
    assert multiple == pytest.approx(math.exp(-0.02 / 0.1), abs=0.03)
    json.dumps(decision.to_dict(), allow_nan=False)


def test_a_multiple_takes_the_slope_around_its_computation(study):
    """Where ln L bends over ln C, one exponent of all computations would say at either end what holds at neither."""
    results = simulated(study, CURVE, text_cost=0.01, image_cost=0.0)
    slopes = {"": 0.0, "_6T": 0.2 * math.log(2), "_24T": -0.1 * math.log(2), "_48T": -0.15 * math.log(2)}
    for suffix, bend in slopes.items():  # -0.3 from 6 to 12 TFLOP, -0.2 from 12 to 24, -0.15 from 24 to 48
        for run in [*results[f"text{suffix}"].values(), *results[f"both{suffix}"].values()]:
            run["bits_per_char"] *= math.exp(bend)
    multiple = {f.difference.comparison.name: f.multiple[0] for f in decide(study, results).findings[::2]}
    assert multiple["text, 6 TFLOP"] == pytest.approx(math.exp(-0.01 / 0.3), abs=0.01)
    assert multiple["text, 12 TFLOP"] == pytest.approx(math.exp(-0.01 / 0.25), abs=0.01)
    assert multiple["text, 48 TFLOP"] == pytest.approx(math.exp(-0.01 / 0.15), abs=0.01)


def test_a_run_that_went_wrong_is_left_out(study):
    results = simulated(study, CURVE, 0.02, 0.001)
    results["both"][2]["bits_per_char"] = math.nan
    results["text"][3]["bits_per_char"] = math.inf
    decision = decide(study, results)
    assert len(decision.findings[0].delta.values) == 3
    assert decision.curves[0].alone is not None
    json.dumps(decision.to_dict(), allow_nan=False)


def test_what_is_not_done_is_left_out_and_counted(study):
    results = simulated(study, ("text", "images", "both"), 0.02, 0.001)
    del results["both"][3], results["text"][1]
    decision = decide(study, results)
    assert (decision.runs, decision.runs_done) == (122, 17)
    assert decision.missing["both"] == 1
    assert decision.missing["text_6T"] == 3
    assert "images" not in decision.missing
    assert [finding.difference.comparison.name for finding in decision.findings] == [
        "text, 12 TFLOP",
        "images, 12 TFLOP",
    ]
    assert len(decision.findings[0].delta.values) == 3
    assert all(curve.alone is None and curve.predict(191.0) is None for curve in decision.curves)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [((), "undecided: no pair of runs is done"), ((0, 1), "2 seeds at 12 TFLOP, and fewer than 3 show nothing")],
)
def test_too_few_runs_decide_nothing(study, seeds, words):
    results = simulated(study, ("text", "images", "both"), 0.02, 0.001)
    results["both"] = {seed: results["both"][seed] for seed in seeds}
    sentence, _ = decide(study, results).to_dict()["answer"]
    assert words in sentence
    assert "undecided" in sentence
    assert "nan" not in sentence


def test_the_page_begins_with_the_answer_and_shows_samples_of_each_arm_that_has_them(study, tmp_path):
    results = simulated(study, CURVE, 0.02, 0.001)
    results["both"][0]["gradient_cosine"] = {"block_0": {"across": 0.1, "text": 0.9, "image": 0.8}}
    for arm in ("images", "both"):
        images = run_folder(user_path(tmp_path), arm, 0) / "evaluation" / "samples" / "image" / "images"
        images.mkdir(parents=True)
        for number in range(9):
            Image.new("RGB", (16, 16), (number, 0, 0)).save(images / f"{number:04d}.png")
    sections = {
        section.title: section.blocks
        for section in decision_sections(study, user_path(tmp_path), results, decide(study, results))
    }
    assert list(sections) == ["The answer", "By computation", "Every difference", "Gradients", "Samples"]
    (answer,) = sections["The answer"]
    assert answer.text.startswith("In a model of both, text is worse than alone")
    assert "46 of 122 runs are done" in answer.text
    (table,) = sections["Every difference"]
    assert len(table.rows) == 8
    (gallery,) = sections["Samples"]
    assert [caption for caption in gallery.captions if caption] == ["images", "both"]
    assert len(gallery.canvases) == 16


def test_the_command_writes_its_page_anew_after_every_run(study, tmp_path, monkeypatch):
    """Trained and measured by stand-ins: what is tested is what is written when."""
    source = tmp_path / "small.py"
    source.write_text(
        "from pixjax.configs import study_decides\n"
        "def get_study():\n"
        "    study = study_decides.get_study()\n"
        "    names = ('text', 'images', 'both', 'text_marked')\n"
        "    study['arms'] = {name: study['arms'][name] | {'cosine': False, 'seeds': (0, 1, 2)} for name in names}\n"
        "    study['comparisons'] = study['comparisons'][:2]\n"
        "    return study\n"
    )
    full, written = simulated(study, ("text", "images", "both"), 0.02, 0.001), []

    def measure(folder, *_, **__):
        path = tmp_path / "studied" / "results.json"
        if path.exists():
            written.append(json.loads(path.read_text())["decision"])
        arm, _, seed = folder.name.rpartition("-seed")
        return full["text" if arm == "text_marked" else arm][int(seed)]

    monkeypatch.setattr("pixjax.study.study.train", lambda config, folder: True)
    monkeypatch.setattr("pixjax.study.study.evaluate", measure)
    assert main(["study", f"--config={source}", f"--workdir={tmp_path / 'studied'}"]) == 0
    assert [decision["runs_done"] for decision in written] == list(range(1, 12))
    assert "no pair of runs" in written[0]["answer"][0]
    assert "2 seeds" in written[6]["answer"][0]
    assert "worse than alone" in written[8]["answer"][0]
    text = (tmp_path / "studied" / "results.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["decision"]["runs_done"] == 12
    page = (tmp_path / "studied" / "report.html").read_text()
    assert page.index("The answer") < page.index("What follows")

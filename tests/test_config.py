"""The configuration: read once, checked at the boundary, errors that name the remedy."""

import dataclasses
import json
import pathlib
import sys

import numpy as np
import pytest

from pixjax.config import Config, known_keys
from pixjax.config_file import config_from_json, load_config
from pixjax.errors import InputError

PACKAGED = (
    "demo", "mixed64_marker", "mixed64_condition", "text64", "finetune_mixed64", "letters16", "letters27_best",
    "mixed_best", "mixed_best_marker", "small", "text8_best",
)  # fmt: skip


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_configs_survive_json(name):
    config = load_config(name)
    assert config_from_json(json.dumps(config.to_dict()), "config.json") == config


def test_a_path_and_a_bare_name_are_the_same_config(request):
    path = request.config.rootpath / "configs" / "demo.py"
    assert load_config(str(path)) == load_config("demo")


def test_overrides_take_the_type_of_their_key():
    config = load_config(
        "demo",
        [
            "--config.training.steps=7",
            "--config.training.learning_rate=1",
            "--config.model.patch_size=8",
            "--config.data.flip=false",
            "--config.data.sources=text:a/*.txt,\n    images:b,c.zip",  # as a long command is typed
            "--config.data.weights=(1,2.5)",
            "--config.diffusion.time.image=uniform",
            "--config.training.ema_decays=0.5",
        ],
    )
    assert config.training.steps == 7
    assert config.training.learning_rate == 1.0
    assert config.model.patch == (8, 8)
    assert config.data.flip is False
    assert config.data.sources == ("text:a/*.txt", "images:b,c.zip")
    assert config.data.weights == (1.0, 2.5)
    assert config.diffusion.time.image == "uniform"
    assert config.training.ema_decays == (0.5,)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("training.steps", 7, "7"),
        ("training.steps", 1e5, "1e5"),
        ("training.steps", np.int64(7), "7"),
        ("training.learning_rate", 1, "1"),
        ("training.learning_rate", np.float64(0.5), "0.5"),
        ("training.ema_decays", 0.5, "0.5"),
        ("training.ema_decays", [0.5, 0.25], "(0.5,0.25)"),
        ("data.weights", np.array([1.0, 2.5]), "(1,2.5)"),
        ("data.sources", "text:a/*.txt,images:b", "text:a/*.txt,images:b"),
        ("data.flip", False, "false"),
        ("model.patch_size", 8, "8"),
        ("training.init_from", pathlib.Path("runs/a"), "runs/a"),
    ],
)
def test_python_and_the_command_line_say_the_same(key, value, text):
    wanted = load_config("demo", [f"--config.{key}={text}"])
    assert load_config("demo", {key: value}) == wanted
    assert load_config("demo", {key: text}) == wanted
    assert load_config("demo", [f"{key}={text}"]) == wanted


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"training.stps": 1}, "unknown config key 'training.stps': did you mean 'training.steps'"),
        ({"training": {"steps": 1}}, "unknown config key 'training'"),
        ({3: 1}, "unknown config key '3'"),
        ({"training.steps": None}, "training.steps=None has the wrong type: expected int"),
        ({"training.steps": True}, "training.steps=True has the wrong type: expected int"),
        ({"training.steps": "many"}, "training.steps='many' has the wrong type: expected int"),
        ("training.steps=1", "overrides='training.steps=1' is one text: give a list of KEY=VALUE, or a dict by key"),
    ],
)
def test_overrides_that_are_wrong_are_one_line(overrides, message):
    with pytest.raises(InputError) as caught:
        load_config("demo", overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_may_start_from_another_config(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('import pixjax\n\n\ndef get_config():\n    return pixjax.load_config("demo", {"model.depth": 6})\n')
    assert load_config(file) == load_config("demo", {"model.depth": 6})


@pytest.mark.parametrize(("text", "steps"), [("1e5", 100_000), ("1_000", 1000), ("2.5e1", 25), ("3.0", 3)])
def test_a_whole_number_may_be_written_as_people_write_them(text, steps):
    config = load_config("demo", [f"--config.training.steps={text}"])
    assert (config.training.steps, type(config.training.steps)) == (steps, int)
    assert Config.from_dict({"training": {"steps": float(steps)}}).training.steps == steps  # in a config file


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stps=1", "unknown config key 'training.stps': did you mean 'training.steps'"),
        ("training=1", "unknown config key 'training'"),
        ("training.steps=many", "training.steps='many' has the wrong type: expected int"),
        ("training.steps=1.5", "training.steps=1.5 has the wrong type: expected int"),
        ("training.steps=1e5.5", "training.steps='1e5.5' has the wrong type: expected int"),
        ("training.steps=1,000", "training.steps='1,000' has the wrong type: expected int"),
        ("training.steps=1e300", "training.steps=1e+300 has the wrong type: expected int"),
        ("training.steps=0", "training.steps=0 has to be positive"),
        ("model.canvas_size=99999999999999999999", "has to be from 1 to 4096"),
        ("data.batch_size=99999999999999999999", "has to be from 1 to 2147483647"),
        ("training.steps", "has no value: write --config.training.steps=VALUE"),
        ("model.patch_size=5", "model.canvas_size=32 is not divisible by model.patch_size=5"),
        ("model.patch_size=0", "patch size '0' is not a size"),
        ("model.tagging=color", "model.tagging='color' is unknown: choose one of none, marker, condition, both"),
        ("model.tagging=condition", "contradict each other: set codec.marker=False"),
        ("data.text_ratio=2", "data.text_ratio=2.0 has to be between 0 and 1"),
        ("data.sources=()", "data.sources is empty"),
        ("model.depth=-1", "model.depth=-1 has to be at least 0"),
        ("training.seed=10000000000", "training.seed=10000000000 has to be between 0 and 2147483647"),
        ("training.clip_norm=-1", "training.clip_norm=-1.0 has to be at least 0"),
        ("training.beta2=2", "training.beta2=2.0 has to be in [0, 1)"),
        ("training.learning_rate=1e999", "training.learning_rate=inf has to be a finite number"),
        ("diffusion.time.text=logit_normal:nan:1", "time law 'logit_normal:nan:1' is unknown"),
        ("diffusion.time.image=cauchy:1", "time law 'cauchy:1' is unknown"),
        ("data.weights=(1,)", "data.weights has 1 entries for 2 sources"),
    ],
)
def test_wrong_overrides_are_one_line_that_says_what_to_do(override, message):
    with pytest.raises(InputError) as caught:
        load_config("demo", [f"--config.{override}"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dmeo", "choose one of context64, demo, finetune_mixed64, "),
        ("no/such.py", "config file no/such.py does not exist"),
    ],
)
def test_a_config_that_is_not_there(name, message):
    with pytest.raises(InputError, match=message):
        load_config(name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("config.training.stpes = 3", "unknown config key 'training.stpes': did you mean 'training.steps'"),
        ("config.modle.depth = 3", "does not run: AttributeError: .*modle"),
        ("1 / 0", "does not run: ZeroDivisionError"),
        ("config.model.depth = 'deep'", "model.depth='deep' has the wrong type: expected int"),
    ],
)
def test_a_config_file_that_is_wrong(tmp_path, body, message):
    file = tmp_path / "mine.py"
    lines = (
        "from pixjax.config import default_config",
        "def get_config():",
        "  config = default_config()",
        f"  {body}",
    )
    file.write_text("\n".join([*lines, "  return config\n"]))
    with pytest.raises(InputError, match=message) as caught:
        load_config(str(file))
    assert "\n" not in str(caught.value)


BASE = """
from pixjax.config import default_config

def get_config():
    config = default_config()
    config.model.depth = {}
    return config
"""
MINE = """
from my_base import get_config as base

def get_config({}):
    from parts.width import WIDTH
    config = base()
    config.model.width = WIDTH
    config.model.variant = variant
    return config
"""


@pytest.fixture
def mine(tmp_path):
    """The paths of two configs of one name; each imports its own neighbours, of one name too."""
    paths = []
    for number, parameter in ((1, "variant='Ti'"), (2, "variant")):
        folder = tmp_path / str(number)
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "width.py").write_text(f"WIDTH = {64 * number}\n")
        (folder / "my_base.py").write_text(BASE.format(number))
        (folder / "mine.py").write_text(MINE.format(parameter))
        paths.append(str(folder / "mine.py"))
    return paths


def test_a_config_imports_its_neighbours_and_leaves_nothing_behind(mine):
    before = list(sys.path)
    made = [load_config(path).model for path in (mine[0], f"{mine[1]}:S", mine[0])]
    assert [(model.depth, model.width) for model in made] == [(1, 64), (2, 128), (1, 64)]
    assert sys.path == before
    assert not {"my_base", "parts", "parts.width"} & set(sys.modules)


def test_what_stands_after_a_colon_is_handed_to_the_config(mine, tmp_path):
    assert load_config(f"{mine[0]}:S", ["--config.training.steps=7"]).model.variant == "S"
    assert load_config(mine[0]).model.variant == "Ti"
    odd = tmp_path / "a:b.py"
    odd.write_text(BASE.format(3))
    assert load_config(str(odd)).model.depth == 3
    for name, message in (
        (mine[1], r"get_config\(\) of .*mine.py needs an argument: write .*mine.py:ARGUMENT"),
        ("demo:S", r"get_config\(\) of .*demo.py takes no argument, and 'S' was given: leave out ':S'"),
        ("dmeo:S", "no config is named 'dmeo'"),
        ("no/such.py:S", "config file no/such.py does not exist"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load_config(name)
        assert "\n" not in str(caught.value)


def test_a_damaged_stored_config_is_named():
    with pytest.raises(InputError, match=r"runs/x/config.json is damaged"):
        config_from_json('{"model": ', "runs/x/config.json")


def test_every_key_of_the_interface_exists():
    """Scripts rely on these."""
    keys = set(known_keys())
    assert {
        *(f"training.{k}" for k in ("steps", "checkpoint_every", "log_every", "seed")),
        *(f"data.{k}" for k in ("batch_size", "workers", "text_ratio", "sources")),
        *(f"model.{k}" for k in ("variant", "canvas_size", "patch_size", "tagging")),
        *(f"codec.{k}" for k in ("tokenizer", "code", "layout", "marker")),
        *(f"diffusion.{k}" for k in ("loss", "noise_scale", "time.text", "time.image")),
        *(f"sampling.{k}" for k in ("sampler", "steps")),
    } <= keys


def test_a_config_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().training.steps = 3  # type: ignore[misc]

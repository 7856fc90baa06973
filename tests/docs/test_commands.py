"""Every command in a `bash` or `sh` block of a page is one that works.

Executed, with smaller numbers: all of the README (but for `estimate`) and of `docs/your_data.md`, and the codec and the
regimes of `docs/concepts.md` (`tests/test_readme.py`); every command of the launchers, with `--dry-run` (here).

Parsed (here): every other `pixjax` command, by the parser of its command, its config read and every override of it
applied and checked; `make` by the targets, `pip install` by the extras, `python` by the script or module. Nothing else
may be told to be typed.
"""

import importlib.util
import re
import subprocess
import tomllib

import pytest
from pages import PAGES, ROOT, commands

from pixjax.cli import make_parser
from pixjax.config_file import load_config
from pixjax.study.study import read_study

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MINE = "from pixjax.config import default_config\n\n\ndef get_config():\n    return default_config()\n"
LAUNCHERS = sorted(
    {tuple(c) for page in PAGES for c in commands(page) if c[0].startswith("launch/") or c[0] == "sbatch"}
)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)])
def test_every_command_is_understood(page, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        understand(words)


def understand(words: list[str]) -> None:
    program, *arguments = words
    if program == "pixjax":
        parse(arguments)
    elif program == "make":
        assert arguments[0] in TARGETS, words
    elif program == "pip":
        assert arguments[0] == "install", words
        assert set(",".join(re.findall(r"\[(.*?)\]", words[-1])).split(",")) - {""} <= set(EXTRAS), words
    elif program == "python":
        module = arguments[1] if arguments[0] == "-m" else None
        assert importlib.util.find_spec(module) if module else (ROOT / arguments[0]).exists(), words
    else:
        assert tuple(words) in LAUNCHERS, words


def parse(arguments: list[str]) -> None:
    """As `pixjax.cli.main` does it, without running anything; argparse exits where it does not understand."""
    overrides = [word for word in arguments if word.startswith("--config.")]
    args = make_parser().parse_args([word for word in arguments if word not in overrides])
    if "config" in args:
        read = read_study if arguments[0] == "study" else load_config
        read(args.config, overrides)
    else:
        assert not overrides, arguments


@pytest.mark.parametrize(
    "words", ["--config.training.step=3", "--config.training.steps=many", "--config.data.batch_size=0"]
)
def test_a_wrong_key_or_value_would_be_noticed(words):
    with pytest.raises(ValueError, match=r"training\.steps|data\.batch_size"):
        understand(["pixjax", "train", "--config=demo", "--workdir=runs/demo", words])


@pytest.mark.parametrize("command", LAUNCHERS, ids=lambda command: " ".join(command[:2]))
def test_every_command_of_a_launcher_prints_what_it_would_do(command):
    if command[0] == "sbatch":
        command = command[command.index("launch/slurm.sbatch") :]
    script, *arguments = command
    place = 0 if script.endswith(".sbatch") else arguments.index("--") if "--" in arguments else len(arguments)
    dry = ["bash", str(ROOT / script), *arguments[:place], "--dry-run", *arguments[place:]]
    done = subprocess.run(dry, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_launchers_train_what_the_config_allows():
    for command in LAUNCHERS:
        trained = [word for word in command if word.startswith(("--config", "--workdir"))]
        if any(word.startswith("--config") for word in trained):
            parse(["study" if "study" in command else "train", *trained])

"""The command line as scripts see it: exit codes, one-line errors, nothing heavy for --help."""

import re
import subprocess
import sys

import pytest

from pixjax.cli import COMMANDS, main


def pixjax(*arguments: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pixjax", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **kwargs)


def test_help_names_every_command_and_imports_nothing_heavy():
    script = (
        "import sys, pixjax.cli\n"
        "pixjax.cli.make_parser().print_help()\n"
        "heavy = {'jax', 'numpy', 'flax', 'grain', 'orbax', 'PIL', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(COMMANDS) <= set(re.findall(r"^    ([\w-]+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert "usage: pixjax" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--config=demo", "--workdir=X", "--config.modle.depth=2"], "did you mean 'model.depth'"),
        (["train", "--config=demo", "--workdir=X", "--config.data.sources=images:no_such_folder"], "no_such_folder"),
        (["train", "--config=nothing", "--workdir=X"], "no config is named 'nothing'"),
        (["sample", "--workdir=no_such_run", "--out=X"], "no_such_run is not a workdir"),
        (["sample", "--workdir=X", "--out=X", "--num=0"], "at least one canvas"),
        (["inspect", "--workdir=no_such_run"], "no_such_run is not a workdir"),
        (["train", "--config=demo", "--workdir=X", "--config.training.steps", "5"], "--config.training.steps=VALUE"),
        (
            ["train", "--config=demo", "--workdir=X", "--config.training.init_from=no_such_run"],
            "no_such_run is not a workdir",
        ),
        (["train", "--config=demo", "--workdir=X", "--config.training.profile_steps=7"], "write for instance 10-13"),
        (["sample", "--workdir=X", "--out=X", "--num=100000000000"], "at most 10000000, and more by another --seed"),
        (["train", "--config=demo", "--workdir=X", "--num-processes=0"], "need --coordinator=HOST:PORT"),
        (["train", "--config=demo", "--workdir=X", "--process-id=-1"], "need --coordinator=HOST:PORT"),
        (["data", "preview", "--config=demo", "--out=X", "--num=99999999999999999999"], "has to be from 1 to 100000"),
        (["codec", "encode", "--text-file=X", "--out=X", "--canvas-size=99999999999999999999"], "choose 1 to 4096"),
        (["inspect", "--workdir=X", "--config.model.depth=2"], "belongs to a command that takes --config"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2_and_writes_nothing(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("pixjax: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--stopped-exit-code=256", "--stopped-exit-code=-1", "--hang-exit-code=999"])
def test_an_exit_code_that_no_launcher_would_see_is_refused(flag, capsys):
    """The system passes on the lowest byte: 256 would be 0, a run that is done."""
    with pytest.raises(SystemExit) as exit_:
        main(["train", "--config=demo", "--workdir=X", flag])
    assert exit_.value.code == 2
    assert f"{flag.partition('=')[2]} is no exit code: choose 0 to 255" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["train", "--config=demo", "--workdir=FILE"], ["codec", "encode", "--text-file=FILE", "--out=FILE/x.png"]],
)
def test_a_file_where_a_folder_should_be_is_one_line(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("mine")
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "FILE").read_text() == "mine"


def test_a_bare_command_says_what_there_is():
    done = pixjax()
    assert done.returncode == 2
    assert "usage: pixjax" in done.stderr

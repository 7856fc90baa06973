"""A workdir of any name is trained in, and what cannot be read back ends a run before it is long."""

import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.cli import main
from pixjax.errors import RunError
from pixjax.paths import LocalPath
from pixjax.training.train import train


def test_a_workdir_with_characters_of_patterns_and_markup_is_as_any_other(tmp_path, tiny_config, capsys):
    workdir = epath.Path(tmp_path / "[1]" / "a*b ?{x} **" / "[/bold] :art: ~50% @2 日本")
    train(tiny_config(training={"steps": 3, "log_every": 3}), workdir)
    train(tiny_config(training={"steps": 4, "log_every": 3}), workdir)
    said = capsys.readouterr().err
    assert f"continuing at step 3 of {workdir}" in said
    assert f"done: step 4 is saved in {workdir}" in said
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0
    assert saved_steps(workdir) == [3, 4]
    assert not (workdir / "damaged").exists()
    assert list((workdir / "tensorboard").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["[1]"]


def test_a_first_save_that_cannot_be_read_back_ends_the_run_and_stays_where_it_is(tmp_path, tiny_config, monkeypatch):
    workdir = epath.Path(tmp_path / "run [1]")
    with monkeypatch.context() as patch:
        patch.delattr(LocalPath, "glob")  # as a library looks for files: the brackets become a pattern
        with pytest.raises(RunError, match=r"step 3, was written and cannot be read again.*choose another --workdir"):
            train(tiny_config(training={"steps": 100}), workdir)
    assert (workdir / "metrics.jsonl").read_text().count("\n") == 3
    with pytest.raises(RunError, match="no whole checkpoint is left, all stay where they are"):
        train(tiny_config(), workdir)
    assert saved_steps(workdir) == [3]
    assert not (workdir / "damaged").exists()

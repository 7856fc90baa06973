"""Disks that are full, go away, or may not be written: the run says so, keeps what it has, and goes on when it can."""

import pathlib
import shutil
import subprocess

import pytest
from etils import epath

import pixjax
from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.cli import main

OURS = pathlib.Path(pixjax.__file__).parent


@pytest.fixture
def small_disk(tmp_path):
    """A file system of six megabytes, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system: run the tests as root to include this one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: pathlib.Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_full_disk_is_reported_and_the_run_goes_on_once_there_is_room(small_disk, start, finish, wait_for):
    workdir = small_disk / "run"
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=20", "training.keep_checkpoints=1")
    wait_for(lambda: saved_steps(epath.Path(workdir)), run)
    fill(small_disk)
    before = saved_steps(epath.Path(workdir))[-1]
    wait_for(lambda: "saving failed, trying again" in run.log.read_text(), run)
    said = run.log.read_text()
    assert "No space left" in said or "RESOURCE_EXHAUSTED" in said or "ENOSPC" in said
    failed_at = saved_steps(epath.Path(workdir))[-1]
    assert failed_at >= before
    (small_disk / "filler").unlink()
    wait_for(lambda: saved_steps(epath.Path(workdir))[-1:] > [failed_at], run)
    run.terminate()
    finish(run)
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0


def test_a_disk_that_stays_full_stops_the_run_with_the_last_checkpoint_named(small_disk, start, finish, wait_for):
    workdir = small_disk / "run"
    settings = ("training.checkpoint_every=20", "training.keep_checkpoints=1", "training.save_retry_seconds=3")
    run = start(workdir, "training.steps=100000", *settings)
    wait_for(lambda: saved_steps(epath.Path(workdir)), run)
    fill(small_disk)
    said = finish(run, code=1)
    assert "make room there and start the same command" in said
    assert f'File "{OURS}/' not in said  # tensorstore tells tracebacks of its own threads
    (small_disk / "filler").unlink()
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0
    assert "continuing at step" in finish(start(workdir, f"training.steps={saved_steps(epath.Path(workdir))[-1] + 1}"))


def test_a_workdir_that_is_removed_under_a_run_is_made_anew_and_whole(tmp_path, start, finish, wait_for):
    workdir = tmp_path / "run"
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=20")
    wait_for(lambda: saved_steps(epath.Path(workdir)), run)
    workdir.rename(tmp_path / "elsewhere")
    wait_for(lambda: saved_steps(epath.Path(workdir)), run)
    run.terminate()
    assert "has lost its config.json" in finish(run)
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0
    assert (workdir / "metrics.jsonl").read_text().count("\n") >= 20  # the lines from before are there too


def test_a_workdir_that_is_a_file_or_cannot_be_written_is_refused_at_once(tmp_path, start, finish):
    (tmp_path / "file").write_text("")
    said = finish(start(tmp_path / "file"), code=2)
    assert said.count("\n") == 1
    assert "choose another path" in said
    said = finish(start(pathlib.Path("/proc/pixjax")), code=2)
    assert said.count("\n") == 1

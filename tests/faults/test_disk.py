"""Disks that are full, go away, or may not be written: the run says so, keeps what it has, and goes on when it can."""

import pathlib
import shutil
import subprocess
import time

import pytest
from etils import epath

from pixjax.cli import main
from pixjax.training.checkpoint import saved_steps


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


def read_until(process: subprocess.Popen, text: str) -> str:
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} did not come: {''.join(lines)}")


def fill(folder: pathlib.Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_full_disk_is_reported_and_the_run_goes_on_once_there_is_room(small_disk, start, finish):
    workdir = small_disk / "run"
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=20", "training.keep_checkpoints=1")
    while not saved_steps(epath.Path(workdir)):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    fill(small_disk)
    before = saved_steps(epath.Path(workdir))[-1]
    said = read_until(run, "saving failed, trying again")
    assert "No space left" in said or "RESOURCE_EXHAUSTED" in said or "ENOSPC" in said
    assert saved_steps(epath.Path(workdir))[-1] >= before
    (small_disk / "filler").unlink()
    deadline = time.monotonic() + 120
    failed_at = saved_steps(epath.Path(workdir))[-1]
    while saved_steps(epath.Path(workdir))[-1] == failed_at:
        assert time.monotonic() < deadline, "no checkpoint came after there was room"
        time.sleep(0.1)
    run.terminate()
    finish(run)
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0


def test_a_disk_that_stays_full_stops_the_run_with_the_last_checkpoint_named(small_disk, start, finish):
    workdir = small_disk / "run"
    settings = ("training.checkpoint_every=20", "training.keep_checkpoints=1", "training.save_retry_seconds=3")
    run = start(workdir, "training.steps=100000", *settings)
    while not saved_steps(epath.Path(workdir)):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    fill(small_disk)
    said = finish(run, code=1)
    assert "make room there and start the same command" in said
    assert "pixjax/" not in said.partition("Traceback")[2]  # none of ours: tensorstore tells its own
    (small_disk / "filler").unlink()
    assert main(["inspect", f"--workdir={workdir}", "--verify"]) == 0
    assert "continuing at step" in finish(start(workdir, f"training.steps={saved_steps(epath.Path(workdir))[-1] + 1}"))


def test_a_workdir_that_vanishes_stops_the_run(tmp_path, start, finish):
    workdir = tmp_path / "run"
    run = start(workdir, "training.steps=100000", "training.checkpoint_every=20", "training.save_retry_seconds=2")
    while not saved_steps(epath.Path(workdir)):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    workdir.rename(tmp_path / "gone")
    workdir.touch()  # nothing can be made there any more
    said = finish(run, code=1)
    assert "no checkpoint could be written to" in said
    assert "pixjax/" not in said.partition("Traceback")[2]


def test_a_workdir_that_is_a_file_or_cannot_be_written_is_refused_at_once(tmp_path, start, finish):
    (tmp_path / "file").write_text("")
    said = finish(start(tmp_path / "file"), code=2)
    assert said.count("\n") == 1
    assert "choose another path" in said
    said = finish(start(pathlib.Path("/proc/pixjax")), code=2)
    assert said.count("\n") == 1

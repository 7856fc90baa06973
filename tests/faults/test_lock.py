"""Two runs in one workdir: the second one is told who is there."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from etils import epath

from pixjax.errors import InputError
from pixjax.training.lock import LOCK_FILE, WorkdirLock


def holder(path, **changes):
    """A lock file as another run would have left it."""
    values = {"host": "elsewhere", "process": 7, "started": "1", "renewed": time.time()} | changes
    (path / LOCK_FILE).write_text(json.dumps(values))


def test_a_second_run_is_refused_with_host_and_process_named(tmp_path):
    workdir = epath.Path(tmp_path)
    message = rf"in use by process {os.getpid()} on {socket.gethostname()}"
    with WorkdirLock(workdir), pytest.raises(InputError, match=message), WorkdirLock(workdir):
        pass
    with WorkdirLock(workdir):  # free again
        assert (tmp_path / LOCK_FILE).exists()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_running_command_keeps_a_second_one_out(tmp_path, start, finish):
    with WorkdirLock(epath.Path(tmp_path)):
        assert f"in use by process {os.getpid()}" in finish(start(tmp_path), code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == []


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    holder(tmp_path, host=socket.gethostname(), process=gone.pid)
    with WorkdirLock(epath.Path(tmp_path)):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["process"] == os.getpid()


def test_the_lock_of_an_earlier_process_with_the_same_number_is_taken_over(tmp_path):
    holder(tmp_path, host=socket.gethostname(), process=os.getpid(), started="an earlier boot")
    with WorkdirLock(epath.Path(tmp_path)):
        pass


def test_another_host_holds_its_lock_as_long_as_it_renews_it(tmp_path):
    holder(tmp_path)
    with pytest.raises(InputError, match="in use by process 7 on elsewhere"), WorkdirLock(epath.Path(tmp_path)):
        pass
    holder(tmp_path, renewed=time.time() - WorkdirLock.STALE_AFTER - 1)
    with WorkdirLock(epath.Path(tmp_path)):
        pass


def test_a_lock_file_that_cannot_be_read_is_stale(tmp_path):
    (tmp_path / LOCK_FILE).write_text('{"host": "els')
    with WorkdirLock(epath.Path(tmp_path)):
        pass


def test_a_lock_is_renewed_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(WorkdirLock, "RENEWED_EVERY", 0.01)
    with WorkdirLock(epath.Path(tmp_path)):
        first = json.loads((tmp_path / LOCK_FILE).read_text())["renewed"]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            text = (tmp_path / LOCK_FILE).read_text()
            if text and json.loads(text)["renewed"] > first:
                break
        else:
            pytest.fail("it was not renewed")

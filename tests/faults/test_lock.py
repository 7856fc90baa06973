"""Two runs in one workdir: the second one is told who is there, and a holder that was followed stops."""

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from etils import epath

from pixjax.checkpoints import lock as locks
from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.lock import LOCK_FILE, OLD_AFTER, STALE_AFTER, WorkdirLock
from pixjax.checkpoints.lock_store import FolderStore
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.cli import main
from pixjax.errors import InputError, RunError

HERE = {"host": socket.gethostname(), "process": os.getpid(), "started": locks._started(os.getpid())}


def leave(folder, **changes):
    """A lock as another run would have left it: of this host's name, this process's number, and another container."""
    entry = {"token": "theirs", **HERE, "machine": "this boot, another container", "renewals": 0} | changes
    assert FolderStore(epath.Path(folder) / LOCK_FILE).create(entry)
    return entry


def holder_of(folder):
    return FolderStore(epath.Path(folder) / LOCK_FILE).read()


class Clock:
    """Time that passes only in sleep, during which others may do something."""

    def __init__(self, meanwhile=lambda: None):
        self.now, self.meanwhile = 1e6, meanwhile

    def sleep(self, seconds):
        self.now += seconds
        self.meanwhile()

    def lock(self, folder, **options):
        return WorkdirLock(
            epath.Path(folder), clock=lambda: self.now, sleep=self.sleep, say=lambda line: None, **options
        )


def test_a_second_run_is_refused_with_host_and_process_named(tmp_path):
    clock = Clock()
    message = rf"in use by process {os.getpid()} on {socket.gethostname()}"
    with clock.lock(tmp_path), pytest.raises(InputError, match=message), clock.lock(tmp_path):
        pass
    assert clock.now == 1e6  # it is seen at once
    with clock.lock(tmp_path):  # free again
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    assert not list(tmp_path.iterdir())


def test_a_running_command_keeps_a_second_one_out(tmp_path, start, finish):
    with WorkdirLock(epath.Path(tmp_path)):
        assert f"in use by process {os.getpid()}" in finish(start(tmp_path), code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == []


def test_a_process_of_this_machine_that_is_gone_is_followed_at_once(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    earlier = {
        "gone": {"process": gone.pid},
        "same number": {"started": "an earlier one"},
        "no number": {"process": "x"},
    }
    for name, changes in earlier.items():
        (tmp_path / name).mkdir()
        leave(tmp_path / name, machine=locks._machine(), **changes)
        clock = Clock()
        with clock.lock(tmp_path / name):
            assert holder_of(tmp_path / name)["token"] != "theirs"
        assert clock.now == 1e6


def test_another_container_of_one_host_name_and_process_number_keeps_its_lock_while_it_renews_it(tmp_path):
    entry = leave(tmp_path)
    store, theirs = FolderStore(epath.Path(tmp_path) / LOCK_FILE), iter(range(1, 99))

    def renew_now_and_then():
        if clock.now > 1e6 + 14:
            store.renew(entry, entry | {"renewals": next(theirs)})

    clock = Clock(renew_now_and_then)
    with pytest.raises(InputError, match=rf"in use by process {os.getpid()} on"), clock.lock(tmp_path):
        pass
    assert clock.now - 1e6 < 20
    assert holder_of(tmp_path)["token"] == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_a_holder_elsewhere_that_gives_no_sign_is_followed(tmp_path):
    leave(tmp_path, host="elsewhere")
    clock, said = Clock(), []
    with WorkdirLock(epath.Path(tmp_path), clock=lambda: clock.now, sleep=clock.sleep, say=said.append):
        assert holder_of(tmp_path)["token"] != "theirs"
    assert clock.now - 1e6 == STALE_AFTER
    [line] = said
    assert f"process {os.getpid()} on elsewhere: watching for up to 120 s" in line


def test_only_the_clock_of_the_file_server_says_that_a_lock_is_old(tmp_path):
    leave(tmp_path, renewed=1e18)  # what another host took for the time
    path = tmp_path / LOCK_FILE
    now = path.stat().st_mtime
    for age, watched in ((OLD_AFTER + 60, 0), (OLD_AFTER - 60, STALE_AFTER), (-1e6, STALE_AFTER)):
        path.unlink(missing_ok=True)
        leave(tmp_path, renewed=1e18)
        os.utime(path, (now - age, now - age))
        clock = Clock()
        with clock.lock(tmp_path):
            pass
        assert clock.now - 1e6 == watched


def test_a_signal_ends_the_watching(tmp_path):
    leave(tmp_path)
    with pytest.raises(InputError, match="in use"), Clock().lock(tmp_path, stop=lambda: True):
        pass


@pytest.mark.parametrize("text", ['{"host": "els', "", "[1]", '{"host": "a", "process": 7, "started": "1"}'])
def test_a_lock_file_that_cannot_be_read_or_is_of_an_earlier_version_is_watched_too(tmp_path, text):
    (tmp_path / LOCK_FILE).write_text(text)
    clock = Clock()
    with clock.lock(tmp_path):
        assert holder_of(tmp_path)["process"] == os.getpid()
    assert clock.now - 1e6 == STALE_AFTER
    assert not list(tmp_path.iterdir())


def test_a_lock_is_renewed_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "RENEWED_EVERY", 0.001)
    renewed = threading.Event()

    class Store(FolderStore):
        def renew(self, old, new):
            if new["renewals"] == 3:
                renewed.set()
            return super().renew(old, new)

    with WorkdirLock(epath.Path(tmp_path), store=Store(epath.Path(tmp_path) / LOCK_FILE)):
        before = (tmp_path / LOCK_FILE).stat().st_ino
        assert renewed.wait(60)
        assert (tmp_path / LOCK_FILE).stat().st_ino == before  # in place: a full disk has room for it


def test_a_holder_that_was_followed_stops_and_leaves_the_lock_to_the_other(tmp_path):
    workdir = epath.Path(tmp_path)
    with WorkdirLock(workdir) as lock:
        lock.confirm()
        lock.require_held()
        theirs = holder_of(tmp_path) | {"token": "theirs", "host": "elsewhere"}
        assert FolderStore(workdir / LOCK_FILE).replace(holder_of(tmp_path), theirs)
        for ask in (lock.confirm, lock.require_held):
            with pytest.raises(RunError, match=f"taken over by process {os.getpid()} on elsewhere") as told:
                ask()
            assert "\n" not in str(told.value)
    assert holder_of(tmp_path) == theirs


def test_a_lock_that_was_removed_with_its_workdir_is_made_anew(tmp_path):
    with WorkdirLock(epath.Path(tmp_path)) as lock:
        token = holder_of(tmp_path)["token"]
        (tmp_path / LOCK_FILE).unlink()
        lock.confirm()
        assert holder_of(tmp_path)["token"] == token


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("stale", [True, False], ids=["stale", "free"])
def test_of_many_starters_at_one_moment_one_gets_the_lock(tmp_path, monkeypatch, stale, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no links here")))
    starters = 8
    with concurrent.futures.ThreadPoolExecutor(starters) as threads:
        for number in range(20):
            folder = tmp_path / str(number)
            folder.mkdir()
            old = leave(folder) if stale else None
            together = threading.Barrier(starters)

            def take(name, folder=folder, old=old, together=together):
                store = FolderStore(epath.Path(folder) / LOCK_FILE)
                entry = {"token": f"of {name}"}
                together.wait()
                return entry if (store.replace(old, entry) if old else store.create(entry)) else None

            [winner] = filter(None, threads.map(take, range(starters)))
            assert holder_of(folder) == winner
            assert [path.name for path in folder.iterdir()] == [LOCK_FILE]


class Interrupted(FolderStore):
    """Before its `at`-th look or link, others come in between."""

    def __init__(self, path, at, others):
        super().__init__(path)
        self._at, self._others, self._count = at, others, 0

    def _pause(self):
        self._count += 1
        if self._count == self._at:
            self._others()

    def _chain(self):
        self._pause()
        return super()._chain()

    def _link(self, entry, path):
        self._pause()
        return super()._link(entry, path)


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("others", ["another starter", "the holder frees it and another takes it", "the holder renews"])
def test_whatever_comes_between_the_steps_of_a_takeover_one_has_the_lock(tmp_path, at, others):
    old, path = leave(tmp_path), epath.Path(tmp_path) / LOCK_FILE
    other, got = FolderStore(path), []

    def between():
        if others == "another starter":
            got.append(other.replace(old, {"token": "second"}))
        elif others == "the holder renews":
            got.append(False)
            other.renew(old, old | {"renewals": 1})
        else:
            other.remove(old)
            got.append(other.create({"token": "second"}))

    first = Interrupted(path, at, between).replace(old, {"token": "first"})
    assert len(got) == 1
    assert first + got[0] == 1 or (others == "the holder renews" and at == 1 and not first)
    if first or got[0]:
        assert holder_of(tmp_path) == {"token": "first" if first else "second"}
    assert [p.name for p in tmp_path.iterdir()] == [LOCK_FILE]


def test_a_starter_that_dies_in_the_middle_of_a_takeover_is_followed(tmp_path):
    old, path = leave(tmp_path), epath.Path(tmp_path) / LOCK_FILE
    store = FolderStore(path)
    dead = old | {"token": "dead"}
    assert store._link(dead, store._after(old))  # and no more of it
    assert store.read() == dead
    assert not store.replace(old, {"token": "late"})
    assert store.replace(dead, {"token": "next"})
    assert store.read() == {"token": "next"}
    assert [p.name for p in tmp_path.iterdir()] == [LOCK_FILE]


def test_a_run_that_was_followed_saves_nothing_more_and_fails_in_one_line(tmp_path, config_file, monkeypatch, capsys):
    workdir = tmp_path / "run"
    save = CheckpointWriter.save

    def save_and_be_followed(self, *values):
        save(self, *values)
        store = FolderStore(epath.Path(workdir) / LOCK_FILE)
        store.replace(holder_of(workdir), holder_of(workdir) | {"token": "theirs", "host": "elsewhere"})

    monkeypatch.setattr(CheckpointWriter, "save", save_and_be_followed)
    assert main(["train", f"--config={config_file}", f"--workdir={workdir}"]) == 1  # saves at steps 3 and 6
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"pixjax: {workdir} was taken over by process {os.getpid()} on elsewhere")
    assert saved_steps(epath.Path(workdir)) == [3]
    steps = [json.loads(line)["step"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) < 6
    assert holder_of(workdir)["token"] == "theirs"

"""A bucket as a user sees it: whether it answers, one lock, files that grow, a path like any other."""

import threading

import pytest

from pixjax import stores
from pixjax.checkpoints.lock import WorkdirLock, open_store
from pixjax.checkpoints.run_files import workdir_path
from pixjax.errors import InputError
from pixjax.paths import reachable_path, user_path, write_whole
from pixjax.training.growing_object import GrowingObject

from .proxy import answer_lost, cut, status


@pytest.fixture(autouse=True)
def _ask_again():
    stores._ask.cache_clear()


def test_a_path_in_a_bucket_is_as_one_on_a_disk(gcs, tmp_path):
    folder = reachable_path("gs://bucket/paths", "--out")
    assert not folder.exists()
    assert list(folder.iterdir()) == []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a b.txt").write_text("one é")
    (folder / "deep" / "x.bin").write_bytes(b"\0\1")
    write_whole(folder / "a b.txt", b"two")
    assert (folder / "a b.txt").read_text() == "two"
    assert sorted(p.name for p in folder.iterdir()) == ["a b.txt", "deep"]
    assert list(folder.files_below()) == ["a b.txt", "deep/x.bin"]
    assert (folder / "deep").is_dir()
    assert (folder / "deep" / "x.bin").is_file()
    (tmp_path / "x").write_bytes(b"local")
    (folder / "up").upload(tmp_path / "x")
    (folder / "up").download(tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == b"local"
    with pytest.raises(FileNotFoundError):
        (folder / "missing").read_bytes()
    failing = gcs.add(status(403, "no access"), times=99, matches="paths/deep")
    for look in (folder / "deep").exists, (folder / "deep").is_dir:  # what fails is not what is not there
        with pytest.raises(OSError, match="no access"):
            look()
    failing.times = 0
    (folder / "deep").rmtree()
    (folder / "up").unlink()
    assert [p.name for p in folder.iterdir()] == ["a b.txt"]


def test_a_burst_of_refusals_is_waited_out(gcs):
    path = user_path("gs://bucket/burst")
    faults = [
        gcs.add(status(429, "too many requests"), method="POST"),
        gcs.add(cut, method="POST"),
        gcs.add(status(503, "backend"), method="GET"),
        gcs.add(status(401, "Invalid Credentials"), method="GET"),
    ]
    path.write_bytes(b"x" * 100_000)
    assert path.read_bytes() == b"x" * 100_000
    assert all(fault.came == fault.times for fault in faults)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (None, "the bucket gs://not-there does not exist: create it"),
        (status(401, "Anonymous caller"), "cannot be reached .*Anonymous caller.*gcloud auth"),
        (status(403, "no storage.objects.list"), "cannot be reached .*no storage.objects.list"),
    ],
)
def test_a_bucket_that_lets_nobody_in_is_one_line(gcs, fault, message):
    if fault:
        gcs.add(fault, times=100, matches="/b/not-there")
    with pytest.raises(InputError, match=f"--workdir: .*{message}"):
        workdir_path("gs://not-there/run")


def test_a_bucket_that_does_not_answer_is_one_line(gcs, monkeypatch):
    monkeypatch.setattr(stores, "PROBE_SECONDS", 0.2)
    go_on = threading.Event()
    gcs.add(lambda *_: bool(go_on.wait(30)) and False, matches="/b/silent")
    with pytest.raises(InputError, match=r"gs://silent gave no answer within 0.2 s: check the network"):
        workdir_path("gs://silent/run")
    go_on.set()


def test_checkpoints_are_refused_where_they_cannot_be(tmp_path):
    with pytest.raises(InputError, match="--workdir=s3://b/run: arrays of checkpoints can be on disks and on gs://"):
        workdir_path("s3://b/run")


def test_of_many_who_start_at_once_one_has_the_lock(gcs):
    store = open_store(user_path("gs://bucket/lock/lock.json"))
    entries = [{"token": str(i), "renewals": 0} for i in range(8)]

    def race(act):
        got: list = []
        threads = [threading.Thread(target=lambda e=e: got.append(e) if act(e) else None) for e in entries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = got
        assert store.read() == winner
        return winner

    first = race(store.create)
    assert 0 <= store.age() < 60
    second = race(lambda entry: store.replace(first, entry))
    if second != first:
        assert not store.renew(first, first | {"renewals": 1})
        store.remove(first)  # no longer its own
    renewed = second | {"renewals": 1}
    assert store.renew(second, renewed)
    store.remove(renewed)
    assert store.read() is None


def test_a_lock_whose_answer_was_lost_is_known_as_ones_own(gcs):
    store = open_store(user_path("gs://bucket/lost/lock.json"))
    lost = gcs.add(answer_lost, method="POST")
    assert store.create({"token": "mine"})
    assert lost.came == 1
    assert not store.create({"token": "another"})


def test_a_run_keeps_another_out_of_its_bucket(gcs):
    workdir = user_path("gs://bucket/locked")
    with (
        WorkdirLock(workdir),
        pytest.raises(InputError, match=r"is in use by process .*delete gs://bucket/locked/lock"),
    ):
        WorkdirLock(workdir).__enter__()
    assert not (workdir / "lock.json").exists()


class Path:
    def __init__(self):
        self.content, self.puts, self.fails = b"", 0, False

    def write_bytes(self, data):
        if self.fails:
            raise OSError("away")
        self.content, self.puts = data, self.puts + 1


def test_an_object_that_grows_is_put_seldom_and_loses_nothing():
    now, path = [0.0], Path()
    growing = GrowingObject(path, b"old ", clock=lambda: now[0])
    for i in range(100):
        now[0] += 1.0
        growing.append(b"%d " % i)
        if growing._put_goes_on:
            growing._put_goes_on.result()
    assert path.puts == 3
    growing.flush()
    growing.flush()
    assert path.puts == 4
    assert path.content == b"old " + b"".join(b"%d " % i for i in range(100))
    path.fails = True
    growing.append(b"late")
    with pytest.raises(OSError, match="away"):
        growing.flush()
    path.fails = False
    growing.close()
    assert path.content.endswith(b"99 late")

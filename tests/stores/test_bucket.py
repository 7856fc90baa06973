"""A bucket as a user sees it: whether it answers, one lock, files that grow, a path like any other."""

import threading

import pytest

from pixjax import stores
from pixjax.checkpoints.lock import WorkdirLock, open_store
from pixjax.checkpoints.run_files import workdir_path
from pixjax.errors import InputError
from pixjax.paths import reachable_path, user_path, write_whole
from pixjax.training.log_files import GrowingObject

from .proxy import answer_lost, cut, status


@pytest.fixture(autouse=True)
def _ask_again():
    stores._ask.cache_clear()


def test_a_path_in_a_bucket_is_as_one_on_a_disk(bucket, tmp_path):
    folder = reachable_path(f"{bucket.address}/paths", "--out")
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
    failing = bucket.proxy.add(status(403, "no access", "AccessDenied"), times=99, matches="paths/deep")
    for look in (folder / "deep").exists, (folder / "deep").is_dir:  # what fails is not what is not there
        with pytest.raises(OSError, match=r"no access|Forbidden"):  # an answer to HEAD has no text
            look()
    failing.times = 0
    with pytest.raises(FileExistsError):
        (folder / "deep").rename(folder / "up")
    moved = (folder / "deep").rename(folder / "moved")
    assert list(folder.files_below()) == ["a b.txt", "moved/x.bin", "up"]
    assert (moved / "x.bin").read_bytes() == b"\0\1"
    moved.rmtree()
    (folder / "up").unlink()
    assert [p.name for p in folder.iterdir()] == ["a b.txt"]


def test_a_burst_of_refusals_is_waited_out(bucket):
    path, add = user_path(f"{bucket.address}/burst"), bucket.proxy.add
    faults = [
        add(status(429, "too many requests", "SlowDown"), method=bucket.put),
        add(cut, method=bucket.put),
        add(status(503, "backend", "SlowDown"), method="GET"),
    ]
    if bucket.address.startswith("gs"):  # whose client asks for another token
        faults.append(add(status(401, "Invalid Credentials"), method="GET"))
    path.write_bytes(b"x" * 100_000)
    assert path.read_bytes() == b"x" * 100_000
    assert all(fault.came == fault.times for fault in faults)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (None, "the bucket .*://not-there does not exist: create it"),
        (status(401, "Anonymous caller"), "cannot be reached .*Anonymous caller.*(gcloud auth|aws configure)"),
        (status(403, "no list", "AccessDenied"), "cannot be reached .*no list"),
        (status(400, "token has expired", "ExpiredToken"), "cannot be reached .*token has expired"),
    ],
)
def test_a_bucket_that_lets_nobody_in_is_one_line(bucket, fault, message):
    if fault:
        bucket.proxy.add(fault, times=100, matches="/not-there")
    with pytest.raises(InputError, match=f"--workdir: .*{message}"):
        workdir_path(f"{bucket.address.replace('bucket', 'not-there')}/run")


def test_a_bucket_that_does_not_answer_is_one_line(bucket, monkeypatch):
    monkeypatch.setattr(stores, "PROBE_SECONDS", 0.2)
    go_on = threading.Event()
    bucket.proxy.add(lambda *_: bool(go_on.wait(30)) and False, matches="/silent")
    with pytest.raises(InputError, match=r"://silent gave no answer within 0.2 s: check the network"):
        workdir_path(f"{bucket.address.replace('bucket', 'silent')}/run")
    go_on.set()


@pytest.mark.parametrize("scheme", ["az", "hf"])
def test_a_workdir_is_refused_where_it_cannot_be(scheme):
    with pytest.raises(InputError, match=f"--workdir={scheme}://b/run: a workdir can be on a disk, on gs:// and on s3"):
        workdir_path(f"{scheme}://b/run")


def test_of_many_who_start_at_once_one_has_the_lock(bucket):
    store = open_store(user_path(f"{bucket.address}/lock/lock.json"))

    def race(renewals, act):
        got: list = []
        entries = [{"token": str(i), "renewals": renewals} for i in range(8)]
        threads = [threading.Thread(target=lambda e=e: got.append(e) if act(e) else None) for e in entries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = got
        assert store.read() == winner
        return winner

    first = race(0, store.create)
    assert 0 <= store.age() < 60
    second = race(1, lambda entry: store.replace(first, entry))
    if second["token"] != first["token"]:
        assert not store.renew(first, first | {"renewals": 1})
        store.remove(first)  # no longer its own
    renewed = second | {"renewals": 2}
    assert store.renew(second, renewed)
    store.remove(renewed)
    assert store.read() is None


def test_a_version_that_is_gone_is_neither_replaced_nor_deleted(bucket):
    """What two who read the same version do after one another, past all that the lock itself compares."""
    stored = open_store(user_path(f"{bucket.address}/versions/lock.json"))._stored
    assert stored.get() is None
    assert stored.put(b"one", None)
    one = stored.get()
    assert not stored.put(b"two", None)
    assert stored.put(b"two", one.tag)
    assert not stored.put(b"three", one.tag)
    asked = []
    bucket.proxy.add(lambda handler, _: asked.append(handler), method="DELETE")
    stored.delete(one.tag)
    if bucket.address.startswith("gs"):  # its emulator deletes whatever the condition is
        assert f"ifGenerationMatch={one.tag}" in asked[0].path
        assert stored.put(b"two", None)
    two = stored.get()
    assert two.content == b"two"
    stored.delete(two.tag)
    assert stored.get() is None
    assert not stored.put(b"four", two.tag)
    stored.delete(two.tag)


def test_a_lock_whose_answer_was_lost_is_known_as_ones_own(bucket):
    store = open_store(user_path(f"{bucket.address}/lost/lock.json"))
    lost = bucket.proxy.add(answer_lost, method=bucket.put)
    assert store.create({"token": "mine"})
    assert lost.came == 1
    assert not store.create({"token": "another"})


def test_a_run_keeps_another_out_of_its_bucket(bucket):
    workdir = user_path(f"{bucket.address}/locked")
    with (
        WorkdirLock(workdir),
        pytest.raises(InputError, match=rf"is in use by process .*delete {workdir}/lock"),
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

"""The watch between processes, over real sockets of this machine and with a beat of milliseconds."""

import contextlib
import socket
import threading
import time
import types
from unittest import mock

import pytest

from pixjax import cli, peers
from pixjax.errors import InputError, RunError
from pixjax.peers import LOST_PEER, SILENCE, Line, Peers, named

BEAT = 0.05


class Process:
    """One of several: its watch, what it said, and the exit code that it would have ended with."""

    def __init__(self, index: int, count: int, **parts):
        self.said, self.codes = [], []
        self.watch = Peers(index, count, beat=BEAT, end=self.codes.append, say=self.said.append, **parts)
        self.watch.start()

    def ended(self, seconds: float = 240.0) -> int | None:
        until = time.monotonic() + seconds
        while not self.codes and time.monotonic() < until:
            time.sleep(0.005)
        return self.codes[0] if self.codes else None


@pytest.fixture
def three():
    """Process 0, and two that watch it."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    processes = [Process(0, 3, server=server, token="ours")]
    for index in (1, 2):
        line = Line(socket.create_connection(server.getsockname()), named(0, 3, "first"))
        line.send({"token": "ours", "index": index, "host": f"node{index}", "process": 7})
        processes.append(Process(index, 3, lines={0: line}))
    until = time.monotonic() + 240
    while len(processes[0].watch._lines) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    yield processes
    for process in processes:
        process.watch.close()


def cut(process: Process) -> None:
    """What the kernel does when a process is killed."""
    process.watch._ended.set()
    process.watch._thread.join()
    for line in process.watch._lines.values():
        line.socket.close()


def test_a_killed_process_ends_all_others_by_its_name_with_the_code_that_means_again(three):
    heard = []
    three[0].watch.on_loss.append(heard.append)
    cut(three[1])
    for other in (three[0], three[2]):
        assert other.ended() == LOST_PEER
        assert "process 1 of 3 (host node1, number 7 there) is gone" in other.said[0]
    assert heard == three[0].said


def test_the_first_process_is_missed_as_any_other(three):
    cut(three[0])
    assert [three[index].ended() for index in (1, 2)] == [LOST_PEER] * 2
    assert "process 0 of 3 (host first) is gone" in three[2].said[0]


def test_an_error_that_the_loss_has_caused_waits_until_the_loss_is_told(three):
    """A collective fails at once, and its exit code would mean that the run has failed."""
    begun = threading.Event()
    three[0].watch.on_loss.append(lambda _: begun.set() or time.sleep(0.3))  # the lock is given back
    cut(three[1])
    assert begun.wait(20)
    three[0].watch.settle(0.0)
    assert three[0].codes == [LOST_PEER]


def test_a_process_that_gives_no_sign_is_lost_though_its_connection_stays(three):
    three[2].watch._ended.set()  # frozen, or behind a cable that was pulled
    three[2].watch._thread.join()
    assert three[0].ended() == three[1].ended() == LOST_PEER
    assert f"process 2 of 3 (host node2, number 7 there) gave no sign for {SILENCE * BEAT:.0f} s" in three[1].said[0]


def test_a_goodbye_is_no_loss_and_a_failure_is_told_to_those_that_wait_for_it(three):
    three[1].watch.goodbye()
    cut(three[1])
    assert three[0].ended(seconds=10 * BEAT) is None
    three[2].watch.goodbye(2, "the workdir is in use")
    cut(three[2])
    assert three[0].ended() == 2
    assert "process 2 of 3 (host node2, number 7 there) ended: the workdir is in use" in three[0].said[0]


def test_strangers_at_the_port_change_nothing(three):
    address = three[0].watch._server.getsockname()
    with socket.create_connection(address) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n" * 1000)
    with socket.create_connection(address) as stranger:
        stranger.sendall(b'{"token": "guessed", "index": 1}\n[]\n')
        assert three[0].ended(seconds=10 * BEAT) is None


def test_one_process_alone_watches_nobody():
    assert peers.start() == ""
    assert peers.current() is None
    peers.leave(1, "it does not end here")


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (ValueError("Gloo AllGather failed"), True),
        (raised(RunError("a checkpoint could not be begun"), ValueError("Gloo AllGather failed")), True),
        (RunError("the loss is not finite"), False),
        (InputError("no such file"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_an_error_that_may_come_from_a_lost_process_waits_for_the_watch(monkeypatch, error, waits):
    """A collective that breaks is raised before the watch has seen who was lost, also within a save."""
    waited = []
    monkeypatch.setattr(peers, "current", lambda: types.SimpleNamespace(settle=waited.append))
    monkeypatch.setattr(peers, "leave", lambda *_: None)
    monkeypatch.setattr(cli, "make_parser", lambda: types.SimpleNamespace(parse_args=mock.Mock(side_effect=error)))
    with contextlib.suppress(ValueError, KeyboardInterrupt):
        cli.main(["train"])
    assert [seconds > 0 for seconds in waited] == [waits]

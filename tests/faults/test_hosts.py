"""Several processes: they stop together, restart as fewer, and refuse to start when they do not mean the same run."""

import signal
import socket
import time

import pytest
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.peers import LOST_PEER


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def process(address: str, index: int, *, count: int = 2) -> tuple[str, ...]:
    return (f"--coordinator={address}", f"--num-processes={count}", f"--process-id={index}")


def test_preemption_of_one_process_saves_on_both_and_one_continues_alone(
    tmp_path, address, start, finish, curve, wait_for
):
    workdir = tmp_path / "run"
    long = ("training.steps=100000", "training.checkpoint_every=7")
    both = [start(workdir, *long, arguments=process(address, index)) for index in range(2)]
    wait_for(lambda: saved_steps(epath.Path(workdir)), both[0])
    both[1].send_signal(signal.SIGTERM)  # not the one that writes the log
    said = [finish(run) for run in both]
    assert "stopped by a signal to another process" in said[0]
    (stopped,) = saved_steps(epath.Path(workdir))[-1:]
    assert stopped % 10 == 0  # they agree every ten steps
    more = stopped + 3
    assert f"continuing at step {stopped}" in finish(start(workdir, f"training.steps={more}"))
    assert [line["step"] for line in curve(workdir)] == list(range(1, more + 1))


def test_a_save_that_fails_on_one_process_is_repeated_by_all_and_one_that_is_killed_ends_all(
    tmp_path, address, start, wait_for
):
    workdir = tmp_path / "run"
    long = ("training.steps=100000", "training.checkpoint_every=10", "training.keep_checkpoints=100")
    first = start(workdir, *long, arguments=process(address, 0))
    second = start(workdir, *long, arguments=process(address, 1), script="failing_save.py")
    wait_for(lambda: len(saved_steps(epath.Path(workdir))) > 1 or second.poll() is not None, first)
    second.kill()
    killed = time.monotonic()
    assert first.wait() == LOST_PEER
    assert time.monotonic() - killed < 30  # what docs/reliability.md promises; jax itself takes a hundred
    log = (workdir / "log.txt").read_text()
    assert "saving failed, trying again in 1 s (process 1: OSError: [Errno 28] No space left on device)" in log
    gone = f"process 1 of 2 (host {socket.gethostname()}, number {second.pid} there) is gone"
    assert gone in log
    assert gone in first.log.read_text()
    assert not (workdir / "lock.json").exists()  # the next start need not watch it
    assert not any("tmp" in p.name for p in (workdir / "checkpoints").iterdir() if p.name.split(".")[0] == "20")


def test_the_loss_of_the_process_that_connects_all_ends_the_others_by_its_name(tmp_path, address, start, wait_for):
    """jax itself would abort them with a stack of C++."""
    first, second = [start(tmp_path / "run", arguments=process(address, index)) for index in range(2)]
    wait_for((tmp_path / "run" / "lock.json").exists, first)
    first.kill()
    killed = time.monotonic()
    assert second.wait() == LOST_PEER
    assert time.monotonic() - killed < 30  # what docs/reliability.md promises; jax itself takes a hundred
    said = second.log.read_text()
    assert f"process 0 of 2 (host {socket.gethostname()}, number {first.pid} there) is gone" in said
    assert "start all processes again" in said


def test_processes_that_mean_different_runs_stop_and_say_who_differs(tmp_path, address, start, finish):
    both = [start(tmp_path / "run", f"training.seed={index}", arguments=process(address, index)) for index in range(2)]
    for run in both:
        assert "process 1 in the config differ" in finish(run, code=2)
    assert not (tmp_path / "run").exists()


def test_a_process_that_does_not_come_is_named(tmp_path, address, start, finish):
    run = start(tmp_path / "run", arguments=(*process(address, 0), "--connect-seconds=3"))
    said = finish(run, code=1)
    assert "process 1 of 2 did not come" in said.splitlines()[-1]

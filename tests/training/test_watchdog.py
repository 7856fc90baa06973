"""What hangs is named once, with the stacks of all threads; what is only slow to compile is not."""

import threading
import time

import pytest
from etils import epath

from pixjax.data import batches
from pixjax.training.train import train
from pixjax.training.watchdog import Watchdog


@pytest.fixture
def watched(tmp_path):
    """A watchdog with a limit of a minute, on a clock that stands still: (it, what it said, exit codes, the clock)."""
    said, codes, now = [], [], [0.0]
    watchdog = Watchdog(
        epath.Path(tmp_path), seconds=60, message=said.append, exit_code=75, clock=lambda: now[0], end=codes.append
    )
    return watchdog, said, codes, now


def test_a_phase_that_lasts_is_named_once_with_stacks_and_ends_the_run(watched, tmp_path):
    watchdog, said, codes, now = watched
    watchdog.phase("the data loader")
    now[0] = 59.0
    watchdog.look()
    assert not said
    now[0] = 61.0
    watchdog.look()
    watchdog.look()
    (line,) = said
    assert line.startswith("the data loader hangs")
    assert str(tmp_path / "hang.txt") in line
    assert "test_a_phase_that_lasts_is_named_once" in (tmp_path / "hang.txt").read_text()
    assert codes == [75]
    watchdog.phase("a step")
    assert said[1] == "the data loader went on after 1.0 minutes"


def test_the_first_step_has_an_hour_more_and_a_phase_within_another_begins_it_anew(watched):
    watchdog, said, _, now = watched
    watchdog.phase("the first step", compiles=True)
    now[0] = 3600.0
    watchdog.look()
    watchdog.phase("a step")
    now[0] += 50
    with watchdog.during("the save"):
        now[0] += 50
    now[0] += 50
    watchdog.look()
    assert not said
    now[0] += 20
    watchdog.look()
    assert said[0].startswith("a step hangs")


def test_a_workdir_that_hangs_too_does_not_hide_the_stacks(watched, tmp_path, monkeypatch):
    watchdog, said, _, now = watched
    (tmp_path / "hang.txt").mkdir()  # what cannot be written
    now[0] = 3700.0
    watchdog.look()
    kept = epath.Path(said[0].partition("stands in ")[2].partition(";")[0])
    assert "test_a_workdir_that_hangs_too" in kept.read_text()
    kept.unlink()


def test_training_says_that_its_loader_hangs_and_goes_on_when_it_does(tmp_path, tiny_config, monkeypatch):
    log, original, calls = tmp_path / "log.txt", batches.BatchIterator.__next__, []

    def blocked(self):
        calls.append(threading.get_ident())
        until = time.monotonic() + 240
        while len(calls) == 2 and "hangs" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.02)
        return original(self)

    monkeypatch.setattr(batches.BatchIterator, "__next__", blocked)
    assert train(tiny_config(training={"steps": 3, "hang_minutes": 1 / 60}), epath.Path(tmp_path))
    said = log.read_text()
    assert "the data loader, before step 2, hangs" in said
    assert "the data loader, before step 2, went on after" in said
    assert "blocked" in (tmp_path / "hang.txt").read_text()

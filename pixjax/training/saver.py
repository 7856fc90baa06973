"""Retries of saves that fail: a full disk or a bucket that is away must not end a run at once."""

import time
from collections.abc import Callable

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.save_barrier import SaveFailedElsewhere
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.errors import RunError

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds between two tries; doubled each time
_AGREE_EVERY = 10  # steps between two agreements of several processes


class Saver:
    """Starts saves, notices those that failed, and says when to try again.

    With several processes a save that fails on one of them has failed on all, and all try again at the same step. One
    that cannot even be begun ends the run: what starts the processes again continues from the last checkpoint.

    The first save of a run is waited for and read back. Whether a path, a disk and a library go together shows then,
    not after days; a run that goes on from a checkpoint has read one here.
    """

    def __init__(
        self,
        checkpoints: CheckpointWriter,
        *,
        retry_seconds: float,
        message: Callable[[str], None],
        proved: bool = False,
    ):
        """`proved` says that a checkpoint of this workdir was read already."""
        self._checkpoints = checkpoints
        self._proved = proved
        self._retry_seconds = retry_seconds
        self._message = message
        self._failing_since: float | None = None
        self._wait = _FIRST_WAIT
        self._next_try = 0.0
        self._several = jax.process_count() > 1
        self.is_due = False  # whether it is time to try again, the same on all processes
        self.gave_up = False

    def poll(self, step: int) -> None:
        """Notices a save that failed meanwhile. To be called after each step; waits for no save."""
        if self._failing_since is None:
            self._attempt(self._checkpoints.check)
        self.is_due = False
        if not self._several or step % _AGREE_EVERY == 0:
            self._look_at_clock()

    def save(self, start: Callable[[], None]) -> None:
        """`start` begins a save that goes on in the background; the first one, and one after a failure, is waited for.

        Raises `RunError` where the first one cannot be read back.
        """
        self._save(start, wait=False)

    def finish(self, start: Callable[[], None]) -> None:
        """Saves and waits, as often as it takes; raises `RunError` when that lasts too long."""

        while not self._save(start, wait=True):
            self._look_at_clock()
            if self.gave_up:
                kept = _steps_on_disk(self._checkpoints.workdir)
                raise RunError(
                    f"no checkpoint could be written to {self._checkpoints.workdir} for {self._retry_seconds:.0f} s: "
                    f"make room there and start the same command, "
                    + (f"which continues at step {kept[-1]}" if kept else "nothing is saved yet")
                )
            time.sleep(max(0.0, self._next_try - time.monotonic()))

    def _save(self, start: Callable[[], None], *, wait: bool) -> bool:
        """Whether a save was begun or, where it is waited for, completed; the same on all processes."""
        if self._several:  # the save before is complete on all of them, or on none
            complete = self._failing_since is None and self._attempt(self._checkpoints.wait)
            self._fail_together(not complete)
        is_again = self._failing_since is not None
        if not self._attempt(lambda: self._begin(start, is_again), may_be_alone=False):
            return False
        if self._proved and not is_again and not wait:
            return True
        complete = self._attempt(self._checkpoints.wait)
        if self._fail_together(not complete):
            return False
        if not self._proved:
            if not self._attempt(lambda: self._checkpoints.read_back(self._checkpoints.steps()[-1])):
                return False
            self._proved = True
        self._failing_since, self._wait = None, _FIRST_WAIT
        return True

    def _begin(self, start: Callable[[], None], is_again: bool) -> None:
        if is_again:
            self._checkpoints.reopen()
        start()

    def _look_at_clock(self) -> None:
        now, since = time.monotonic(), self._failing_since
        is_due = since is not None and now >= self._next_try
        gave_up = since is not None and now - since > self._retry_seconds
        self.is_due, self.gave_up = (bool(x) for x in _on_any(np.array([is_due, gave_up])))

    def _fail_together(self, failed: bool) -> bool:
        """Whether it has failed on any process, and so on this one."""
        on_any = bool(_on_any(np.array([failed]))[0])
        if on_any and not failed:
            self._fail("it failed on another process")
        return on_any

    def _attempt(self, action: Callable[[], None], *, may_be_alone: bool = True) -> bool:
        """Where several processes act together, and one cannot fail alone, a failure ends the run."""
        try:
            action()
        except RunError:
            raise
        except Exception as error:  # orbax and file systems raise whatever they stumble over
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if self._several and not may_be_alone:
                raise RunError(f"a checkpoint could not be begun ({reason}): start all processes again") from error
            if self._several and not isinstance(error, SaveFailedElsewhere):
                self._checkpoints.tell_failure(reason)
            self._fail(str(error) if isinstance(error, SaveFailedElsewhere) else reason)
            return False
        return True

    def _fail(self, reason: str) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        self._next_try = now + self._wait
        self._message(f"saving failed, trying again in {self._wait:.0f} s ({reason})")
        self._wait = min(2 * self._wait, _LONGEST_WAIT)


def _on_any(here: np.ndarray) -> np.ndarray:
    """The flags that are set on any process."""
    if jax.process_count() == 1:
        return here
    return np.any(np.asarray(multihost_utils.process_allgather(here)).reshape(-1, len(here)), axis=0)


def _steps_on_disk(workdir: epath.Path) -> list[int]:
    try:
        return saved_steps(workdir)
    except OSError:
        return []

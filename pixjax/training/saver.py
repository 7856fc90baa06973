"""Saves that fail are reported and tried again: a full disk or a bucket that is away must not end a run at once."""

import time
from collections.abc import Callable

import jax
from etils import epath

from pixjax.errors import RunError
from pixjax.training.checkpoint import Checkpoints, saved_steps

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds between two tries; doubled each time


class Saver:
    """Starts saves, notices those that failed, and says when to try again.

    With several processes a failed save ends the run at once: one of them cannot repeat it alone. What starts the
    processes again continues from the last checkpoint.

    The first save of a run is waited for and read back. Whether a path, a disk and a library go together shows then,
    not after days; a run that goes on from a checkpoint has read one here.
    """

    def __init__(
        self, checkpoints: Checkpoints, *, retry_seconds: float, message: Callable[[str], None], proved: bool = False
    ):
        """`proved` says that a checkpoint of this workdir was read already."""
        self._checkpoints = checkpoints
        self._proved = proved
        self._retry_seconds = retry_seconds
        self._message = message
        self._failing_since: float | None = None
        self._wait = _FIRST_WAIT
        self._next_try = 0.0

    def poll(self) -> None:
        """Notices a save that failed meanwhile. To be called between steps; never waits."""
        if self._failing_since is None:
            self._attempt(self._checkpoints.check)

    @property
    def is_due(self) -> bool:
        """Whether it is time to try again."""
        return self._failing_since is not None and time.monotonic() >= self._next_try

    @property
    def gave_up(self) -> bool:
        return self._failing_since is not None and time.monotonic() - self._failing_since > self._retry_seconds

    def save(self, start: Callable[[], None]) -> None:
        """`start` begins a save that goes on in the background; the first one, and one after a failure, is waited for.

        Raises `RunError` where the first one cannot be read back.
        """
        goes_on = self._proved and self._failing_since is None
        self._attempt(start if goes_on else lambda: self._save_and_wait(start))

    def finish(self, start: Callable[[], None]) -> None:
        """Saves and waits, as often as it takes; raises `RunError` when that lasts too long."""

        while not self._attempt(lambda: self._save_and_wait(start)):
            if self.gave_up:
                kept = _steps_on_disk(self._checkpoints.workdir)
                raise RunError(
                    f"no checkpoint could be written to {self._checkpoints.workdir} for {self._retry_seconds:.0f} s: "
                    f"make room there and start the same command, "
                    + (f"which continues at step {kept[-1]}" if kept else "nothing is saved yet")
                )
            time.sleep(max(0.0, self._next_try - time.monotonic()))

    def _save_and_wait(self, start: Callable[[], None]) -> None:
        start()
        self._checkpoints.wait()
        if not self._proved:
            self._checkpoints.read_back(self._checkpoints.steps()[-1])
            self._proved = True
        self._failing_since, self._wait = None, _FIRST_WAIT

    def _attempt(self, action: Callable[[], None]) -> bool:
        try:
            if self._failing_since is not None:
                self._checkpoints.reopen()
            action()
        except RunError:
            raise
        except Exception as error:  # orbax and file systems raise whatever they stumble over
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            if jax.process_count() > 1:
                raise RunError(f"a checkpoint could not be written ({reason}): start all processes again") from error
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            self._next_try = now + self._wait
            self._message(f"saving failed, trying again in {self._wait:.0f} s ({reason})")
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            return False
        return True


def _steps_on_disk(workdir: epath.Path) -> list[int]:
    try:
        return saved_steps(workdir)
    except OSError:
        return []

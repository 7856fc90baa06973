"""A watchdog for a run that stands still: the phase that hangs, with the stacks of all threads."""

import contextlib
import faulthandler
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath

HANG_FILE = "hang.txt"
_MORE_TO_COMPILE = 60 * 60.0  # seconds besides the limit, for the step that compiles
_TO_WRITE = 10.0  # seconds that the disk has, which may be what hangs
_EARLIER = 1 << 20  # bytes of earlier hangs that hang.txt keeps


class Watchdog:
    """A context manager; `phase` says what the run is doing.

    A phase that lasts longer than the limit is named once, and the stacks of all threads are written to `hang.txt` of
    the workdir, or to a temporary file where the workdir is what hangs.
    """

    def __init__(
        self,
        workdir: epath.Path,
        *,
        seconds: float,
        message: Callable[[str], Any],
        process: int = 0,
        exit_code: int = 0,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], Any] = os._exit,
    ):
        """`seconds` is the limit, 0 for none. With an `exit_code` the process ends with it, to be started again."""
        self._file = workdir / (f"hang-{process}.txt" if process else HANG_FILE)
        self._seconds, self._message, self._exit_code = seconds, message, exit_code
        self._clock, self._end = clock, end
        self._phase, self._limit, self._since = "the start", seconds + _MORE_TO_COMPILE, clock()
        self._named = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self.phase("the first step, which compiles", compiles=True)
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        if self._seconds:
            self._thread.join()

    def phase(self, name: str, *, compiles: bool = False) -> None:
        """From now on the run does this; the time is counted anew. Costs nothing."""
        now = self._clock()
        if self._named:
            self._message(f"{self._named} went on after {_lasted(now - self._since)}")
            self._named = ""
        self._since = now
        self._limit = self._seconds + (_MORE_TO_COMPILE if compiles else 0.0)
        self._phase = name

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        """A phase within another one, which begins anew after it."""
        before = self._phase
        self.phase(name)
        try:
            yield
        finally:
            self.phase(before)

    def look(self) -> None:
        """Names a phase that lasts too long, once."""
        phase, passed = self._phase, self._clock() - self._since
        if self._named or passed <= self._limit:
            return
        self._named = phase
        place = self._write_stacks(f"{phase} has lasted {_lasted(passed)}")
        text = f"{phase} hangs: no sign of it for {_lasted(passed)}; where every thread is stands in {place}"
        if self._exit_code:
            text += f"; the run ends with exit code {self._exit_code} and continues from its last checkpoint"
        teller = threading.Thread(target=self._message, args=(text,), daemon=True)
        teller.start()
        teller.join(_TO_WRITE)
        if self._exit_code:
            self._end(self._exit_code)

    def _watch(self) -> None:
        while not self._ended.wait(min(10.0, self._seconds / 4)):
            self.look()

    def _write_stacks(self, title: str) -> str:
        with tempfile.NamedTemporaryFile("w+", prefix="pixjax-hang-", suffix=".txt", delete=False) as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {title}\n\n")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0, os.SEEK_END)
            file.write("\n")
        kept = epath.Path(file.name)
        written = threading.Event()

        def copy() -> None:
            with contextlib.suppress(OSError):
                earlier = self._file.read_bytes()[-_EARLIER:] if self._file.exists() else b""
                self._file.write_bytes(earlier + kept.read_bytes())
                written.set()

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        thread.join(_TO_WRITE)
        if not written.is_set():
            return str(kept)
        kept.unlink()
        return str(self._file)


def _lasted(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} s"

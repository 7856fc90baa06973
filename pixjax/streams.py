"""Standard streams whose failure is not the work's: a reader that went away, a full disk, a letter they cannot hold."""

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import TextIO

_GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO}  # and will not come back, as a full disk may
_REPLACING = {"replace", "backslashreplace", "ignore", "namereplace", "xmlcharrefreplace"}
_PIECE = 1000  # characters, which have room in a pipe that is not full


class SafeStream(io.TextIOBase):
    """A text stream that never raises when it is written to; `failure` is the first error that it met.

    With `patience` it never waits longer than so many seconds for a reader that does not read (a pipe into `less`, a
    terminal after Ctrl-S): what has no room then is left out.
    """

    def __init__(self, stream: TextIO | None, *, patience: float | None = None):
        self._stream = stream
        self._patience = patience
        self._left_out = 0
        self._is_gone = stream is None
        self.failure: Exception | None = OSError(errno.EBADF, os.strerror(errno.EBADF)) if self._is_gone else None
        self._errors = getattr(stream, "errors", None)
        if isinstance(stream, io.TextIOWrapper) and self._errors not in _REPLACING:
            stream.reconfigure(errors="replace")

    def release(self) -> None:
        """Leaves the stream as it was found."""
        if isinstance(self._stream, io.TextIOWrapper) and self._errors not in _REPLACING:
            with contextlib.suppress(OSError, ValueError):
                self._stream.reconfigure(errors=self._errors)

    def write(self, text: str) -> int:
        if self._patience is None:
            self._put(text)
            return len(text)
        for start in range(0, len(text), _PIECE):
            if not self._has_room():
                self._left_out += 1
            else:
                if self._left_out:
                    self._put(f"\n[{self._left_out} messages were left out while they were not read]\n")
                    self._left_out = 0
                self._put(text[start : start + _PIECE])
        return len(text)

    def _put(self, text: str) -> None:
        if self._is_gone or self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except BlockingIOError:  # somebody made it non-blocking, and it is full: a later write sends the rest
            return
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.failure = self.failure or error
            self._is_gone = not isinstance(error, OSError) or error.errno in _GONE
            self._forget(self._stream)

    def _forget(self, stream: TextIO) -> None:
        """Drops what the stream still holds, or it would fail once more at the end of the process."""
        try:
            number = stream.fileno()
            kept = os.dup(number)
        except (OSError, ValueError):
            return
        try:
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), number, inheritable=True)
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            if not self._is_gone:
                os.dup2(kept, number, inheritable=True)
        finally:
            os.close(kept)

    def _has_room(self) -> bool:
        if self._is_gone or not hasattr(select, "poll"):
            return True
        try:
            number = self.fileno()
        except (OSError, ValueError):
            return True
        waiting = select.poll()
        waiting.register(number, select.POLLOUT)
        patience = 0.0 if self._left_out else self._patience or 0.0
        return bool(waiting.poll(1000 * patience))

    def flush(self) -> None:
        """Every write is flushed."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        try:
            return not self._is_gone and self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("there is no such stream")
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def reason(self) -> str:
        """Why what was written is lost; empty where nothing is."""
        return getattr(self.failure, "strerror", None) or str(self.failure or "")

    @property
    def has_no_reader(self) -> bool:
        """It was closed by a reader that has seen enough, such as `head`."""
        return isinstance(self.failure, BrokenPipeError)


def safe(stream: TextIO | None, *, patience: float | None = None) -> SafeStream:
    """The stream, made safe unless it is already."""
    return stream if isinstance(stream, SafeStream) else SafeStream(stream, patience=patience)


PATIENCE = 5.0  # seconds that a message waits for its reader: messages are a side output


@contextlib.contextmanager
def safe_streams() -> Iterator[tuple[SafeStream, SafeStream]]:
    """`sys.stdout` and `sys.stderr` made safe, for as long as a command runs.

    What is printed on stdout is waited for; what is said on stderr never holds up the work.
    """
    _occupy_standard_descriptors()
    before = sys.stdout, sys.stderr
    safe_ones = SafeStream(sys.stdout), SafeStream(sys.stderr, patience=PATIENCE)
    sys.stdout, sys.stderr = safe_ones
    try:
        yield safe_ones
    finally:
        sys.stdout, sys.stderr = before
        for stream in safe_ones:
            stream.release()


def _occupy_standard_descriptors() -> None:
    """A process may be started with 0, 1 or 2 closed: the next file opened, a checkpoint for instance, would get the
    number, and what a library says there would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)

"""A file that grows, in a store that can only put whole objects."""

import concurrent.futures
import time
from collections.abc import Callable

from pixjax.stores import StorePath


class GrowingObject:
    """Keeps the content, and puts all of it from time to time, in a thread of its own: training does not wait.

    At most every `EVERY` seconds, and so that puts take at most a hundredth of the time, however long the object has
    become. `flush` puts what is not there yet, and is to be called before anything that must not be ahead of the file.
    """

    EVERY = 30.0  # seconds
    SHARE = 0.01  # of the time

    def __init__(self, path: StorePath, content: bytes = b"", *, clock: Callable[[], float] = time.monotonic):
        """`content` is what the object begins with; what it has there is replaced."""
        self._path, self._clock = path, clock
        self._content = bytearray(content)
        self._there = -1  # bytes that the store has
        self._next = clock() + self.EVERY
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="put")
        self._put_goes_on: concurrent.futures.Future[None] | None = None

    def append(self, data: bytes) -> None:
        """Raises `OSError` where the put before failed; nothing is lost, a later one has it all."""
        self._content += data
        before = self._put_goes_on
        if self._clock() < self._next or (before is not None and not before.done()):
            return
        self._put_goes_on = self._thread.submit(self._put, bytes(self._content))
        self._next = self._clock() + self.EVERY
        if before is not None:
            before.result()

    def flush(self) -> None:
        """Returns when the store has it all. Raises `OSError` where it does not take it."""
        before, self._put_goes_on = self._put_goes_on, None
        if before is not None:
            concurrent.futures.wait([before])
        if self._there != len(self._content):
            self._put(bytes(self._content))

    def close(self) -> None:
        """As `flush`."""
        try:
            self.flush()
        finally:
            self._thread.shutdown(wait=False)

    def _put(self, content: bytes) -> None:
        began = self._clock()
        self._path.write_bytes(content)
        self._there = len(content)
        ended = self._clock()
        self._next = ended + max(self.EVERY, (ended - began) / self.SHARE)

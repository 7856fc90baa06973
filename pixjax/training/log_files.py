"""Files of a run that grow: lines of text, and event files of TensorBoard; in a folder, or in a store that can only put
whole objects.
"""

import concurrent.futures
import itertools
import time
from collections.abc import Callable, Iterable, Mapping

from etils import epath
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import register_writer_factory

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
        """Does what `flush` does."""
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


class LineFile:
    """Holds its lines, so that it can be written anew. In a store they come in groups, as `GrowingObject` says."""

    def __init__(self, path: epath.Path, lines: Iterable[str] = ()):
        self._path = path
        self._lines = list(lines)
        self._unwritten = 0  # lines at the end that a failing disk did not take
        start = b"".join(map(_bytes, self._lines))
        self._object = GrowingObject(path, start) if isinstance(path, StorePath) else None

    def append(self, line: str) -> None:
        """Raises `OSError` where the disk does not take it; it is written with a later line then."""
        if self._object:
            self._object.append(_bytes(line))
            return
        self._lines.append(line)
        self._unwritten += 1
        if self._unwritten > 1:  # the last one may be torn
            self.rewrite()
        else:
            with self._path.open("ab") as file:
                file.write(_bytes(line))
        self._unwritten = 0

    def rewrite(self) -> None:
        """All lines, beside the file and then in its place: one that fails half-way leaves the old one."""
        if self._object:
            self._object.flush()
            return
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_bytes(b"".join(map(_bytes, self._lines)))
        new.replace(self._path)
        self._unwritten = 0

    def flush(self) -> None:
        """Returns when no line is left that is not written. Raises `OSError`."""
        if self._object:
            self._object.flush()
        elif self._unwritten:
            self.rewrite()


def _bytes(line: str) -> bytes:
    return f"{line}\n".encode(errors="replace")


class Curves:
    """One point in each curve a call. After a failure it goes on in a new file, since the last record may be torn."""

    def __init__(self, folder: epath.Path, *, start_step: int):
        """Points at `start_step` and after it, of a run that was interrupted, are not shown any more."""
        self._folder = folder
        self._start_step = start_step
        self._names = itertools.count()
        self._writer: EventsWriter | None = None
        if isinstance(folder, StorePath):
            register_writer_factory(str(folder).partition(":")[0], _InStore)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Raises `OSError` when the disk does not take it."""
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = Event(wall_time=time.time(), step=step, summary=Summary(value=points))
        try:
            if self._writer is None:
                self._writer = self._open()
            self._writer.write_event(event)
            self._writer.flush()
        except OSError:
            self._writer = None
            raise

    def _open(self) -> EventsWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        writer = EventsWriter(str(self._folder / "events"), filename_suffix=f".{next(self._names)}")
        purge = Event(step=self._start_step + 1, session_log=SessionLog(status=SessionLog.START))
        writer.write_event(purge)
        return writer

    def flush(self) -> None:
        """Returns when all is there. Raises `OSError`."""
        if isinstance(self._folder, StorePath) and self._writer is not None:
            self._writer._py_recordio_writer._writer.put()

    def close(self) -> None:
        if self._writer is not None:
            self.flush()
            self._writer.close()


class _InStore:
    """The file beneath a writer of events, in a store; the library's own takes a put for each point."""

    def __init__(self, path: str):
        self._object = GrowingObject(StorePath(path))
        self.write = self._object.append
        self.put = self._object.flush
        self.close = self._object.close

    @classmethod
    def open(cls, path: str) -> "_InStore":
        return cls(path)

    def flush(self) -> None:
        """Not for each point."""

"""TensorBoard's event files, written in the loop's own thread: a writer behind a queue blocks when the disk is full."""

import itertools
import time
from collections.abc import Mapping

from etils import epath
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import register_writer_factory

from pixjax.stores import StorePath
from pixjax.training.growing_object import GrowingObject


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

"""A text file that grows by a line at a time, and loses none when its disk does not take it for a while."""

from collections.abc import Iterable

from etils import epath

from pixjax.stores import StorePath
from pixjax.training.growing_object import GrowingObject


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

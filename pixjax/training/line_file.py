"""A text file that grows by a line at a time, and loses none when its disk does not take it for a while."""

from collections.abc import Iterable

from etils import epath


class LineFile:
    """Holds its lines, so that it can be written anew."""

    def __init__(self, path: epath.Path, lines: Iterable[str] = ()):
        self._path = path
        self._lines = list(lines)
        self._unwritten = 0  # lines at the end that a failing disk did not take

    def append(self, line: str) -> None:
        """Raises `OSError` where the disk does not take it; it is written with a later line then."""
        self._lines.append(line)
        self._unwritten += 1
        if "://" in str(self._path) or self._unwritten > 1:  # object stores cannot append; and a line may be torn
            self.rewrite()
        else:
            with self._path.open("ab") as file:
                file.write(_bytes(line))
        self._unwritten = 0

    def rewrite(self) -> None:
        """All lines, beside the file and then in its place: one that fails half-way leaves the old one."""
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_bytes(b"".join(map(_bytes, self._lines)))
        new.replace(self._path)
        self._unwritten = 0


def _bytes(line: str) -> bytes:
    return f"{line}\n".encode(errors="replace")

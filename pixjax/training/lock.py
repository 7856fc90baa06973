"""One run at a time in a workdir."""

import contextlib
import json
import os
import socket
import threading
import time
from typing import Any

from etils import epath

from pixjax.errors import InputError

LOCK_FILE = "lock.json"


class WorkdirLock:
    """Held while a run writes. A context manager.

    The file names its holder, and is renewed every minute. It is stale, and taken over, when its process is gone from
    this host, or, held on another host, when it has not been renewed for ten minutes.
    """

    RENEWED_EVERY = 60.0  # seconds
    STALE_AFTER = 600.0

    def __init__(self, workdir: epath.Path):
        self._workdir = workdir
        self._path = workdir / LOCK_FILE
        self._stop = threading.Event()
        self._mine = {"host": socket.gethostname(), "process": os.getpid(), "started": _started(os.getpid())}

    def __enter__(self) -> "WorkdirLock":
        """Raises `InputError`, with the holder's name, where another run holds it."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        if not self._create():
            holder = self._holder()
            if holder is not None and self._is_alive(holder):
                raise InputError(
                    f"{self._workdir} is in use by process {holder.get('process')} on {holder.get('host')}: wait for "
                    f"it, stop it, or choose another --workdir (if it is gone, delete {self._path})"
                )
            self._write()
            if (now := self._holder()) is not None and now.get("process") != self._mine["process"]:
                raise InputError(f"{self._workdir} was taken by process {now['process']} on {now['host']} just now")
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._renewer.join()
        with contextlib.suppress(OSError):  # a disk that fails must not hide why the run ends
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        """Whether there was none."""
        if "://" in str(self._path):  # object stores cannot create exclusively
            if self._path.exists():
                return False
            self._write()
            return True
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        with os.fdopen(handle, "w") as file:
            file.write(self._content())
        return True

    def _content(self) -> str:
        return json.dumps(self._mine | {"renewed": time.time()}) + "\n"

    def _write(self) -> None:
        self._path.write_text(self._content())

    def _holder(self) -> dict[str, Any] | None:
        """Whoever the file names; nobody where it is not readable, as after a crash in the middle of a line."""
        try:
            holder = json.loads(self._path.read_text())
        except (OSError, ValueError, RecursionError):
            return None
        return holder if isinstance(holder, dict) else None

    def _is_alive(self, holder: dict[str, Any]) -> bool:
        if holder.get("host") == self._mine["host"]:
            process = holder.get("process")
            return isinstance(process, int) and _started(process) == holder.get("started") != ""
        renewed = holder.get("renewed")
        return isinstance(renewed, int | float) and time.time() - renewed < self.STALE_AFTER

    def _renew(self) -> None:
        while not self._stop.wait(self.RENEWED_EVERY):
            with contextlib.suppress(OSError):  # a full disk is the saver's to report
                self._write()


def _started(process: int) -> str:
    """When a process of this host began, as its kernel counts; empty where there is no such process."""
    try:
        with open(f"/proc/{process}/stat") as file:
            state = file.read().rpartition(")")[2].split()
    except OSError:
        return "" if os.path.isdir("/proc/self") else _is_running(process)
    return "" if state[0] == "Z" else state[19]


def _is_running(process: int) -> str:
    """Where there is no /proc (macOS), a number that is in use counts as the same process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"

"""One run at a time in a workdir, on whatever hosts and in whatever containers."""

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable

from etils import epath

from pixjax.checkpoints.bucket_lock import BucketStore, GcsObject, S3Object
from pixjax.checkpoints.lock_store import Entry, FolderStore, LockStore
from pixjax.errors import InputError, RunError
from pixjax.stores import StorePath

LOCK_FILE = "lock.json"
_HIDDEN = (
    "hidden"  # a process that runs, of which /proc does not tell (macOS, hidepid): taken for the one that is meant
)

RENEWED_EVERY = 15.0  # seconds
STALE_AFTER = 120.0  # seconds without a renewal, watched by whoever wants the lock, by its own clock
OLD_AFTER = 600.0  # seconds without one, by the clock of the file server: nobody has to watch then


def open_store(path: epath.Path) -> LockStore:
    """Where a lock at `path` is kept: a folder, or a bucket."""
    if not isinstance(path, StorePath):
        return FolderStore(path)
    return BucketStore(S3Object(path) if str(path).startswith("s3://") else GcsObject(path))


class WorkdirLock:
    """Held while a run writes. A context manager.

    The lock goes by a random token: names of hosts and numbers of processes are the same in many containers. A holder
    of this machine that runs is believed, and one that is gone followed at once. Any other is watched: if it renews
    its entry it is there, and if it does not for two minutes it is followed. No clock of another host is trusted.

    A holder that stood still for so long that another run has followed finds that out by its token, and must not write
    any more: `require_held`, `confirm`.
    """

    def __init__(
        self,
        workdir: epath.Path,
        *,
        store: LockStore | None = None,
        stop: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """`stop` is asked while another holder is watched, of which `say` tells."""
        self._workdir = workdir
        self._path = workdir / LOCK_FILE
        self._store = store or open_store(self._path)
        self._stop, self._say, self._clock, self._sleep = stop, say or _say, clock, sleep
        self._mine: Entry = {
            "token": secrets.token_hex(16),
            "host": socket.gethostname(),
            "machine": _machine(),
            "process": os.getpid(),
            "started": _started(os.getpid()),
            "renewals": 0,
        }
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._lost = ""

    def __enter__(self) -> "WorkdirLock":
        """Raises `InputError`, with the holder's name, where another run holds it."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        while not self._store.create(self._mine):
            holder = self._store.read()
            may_follow = holder is not None and (self._is_gone(holder) or self._is_silent(holder))
            if holder is not None and may_follow and self._store.replace(holder, self._mine):
                break
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._renewer.join()
        with contextlib.suppress(OSError):  # a disk that fails must not hide why the run ends
            self._store.remove(self._mine)

    def require_held(self) -> None:
        """Raises `RunError` if the lock was found to be another's. Costs nothing."""
        if self._lost:
            raise RunError(self._lost)

    def confirm(self) -> None:
        """Looks now. Raises `RunError` where the lock is another's."""
        with contextlib.suppress(OSError):  # a disk that fails is the saver's to report
            self._look()
        self.require_held()

    def _look(self) -> None:
        """Renews this holder's entry, or finds that there is another's."""
        with self._writing:
            renewed = self._mine | {"renewals": self._mine["renewals"] + 1}
            # A workdir that was removed has no lock, and this run writes it anew.
            if not self._lost and (self._store.renew(self._mine, renewed) or self._store.create(renewed)):
                self._mine = renewed
            elif not self._lost:
                self._lost = (
                    f"{self._workdir} was taken over by {_named(self._store.read() or {})}, as this run had given no "
                    "sign for minutes: it stops and saves nothing more there; what was saved before is kept"
                )

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED_EVERY):
            with contextlib.suppress(OSError):
                self._look()

    def _is_gone(self, holder: Entry) -> bool:
        """Whether it was a process of this machine that runs no more. Raises `InputError` where it runs."""
        if not self._mine["machine"] or holder.get("machine") != self._mine["machine"]:
            return False
        process = holder.get("process")
        if isinstance(process, int) and _started(process) in (_HIDDEN, holder.get("started") or None):
            raise self._in_use(holder)
        return True

    def _is_silent(self, holder: Entry) -> bool:
        """Whether it gives no sign for as long as it takes to be sure; raises `InputError` when it gives one."""
        if (age := self._store.age()) is not None and age >= OLD_AFTER:
            return True
        self._say(
            f"{self._workdir} was last used by {_named(holder)}: watching for up to {STALE_AFTER:.0f} s whether it "
            "still is"
        )
        until = self._clock() + STALE_AFTER
        while self._clock() < until:
            if self._stop():
                raise self._in_use(holder)
            self._sleep(1.0)
            if (now := self._store.read()) is None:
                return False  # it is free
            if now != holder:
                raise self._in_use(now)
        return True

    def _in_use(self, holder: Entry) -> InputError:
        return InputError(
            f"{self._workdir} is in use by {_named(holder)}: wait for it, stop it, or choose another --workdir (if it "
            f"is gone, delete {self._path})"
        )


def _named(holder: Entry) -> str:
    if "process" not in holder:
        return f"a run that left an unreadable {LOCK_FILE}"
    name = f"process {holder['process']} on {holder.get('host', 'an unknown host')}"
    return " ".join(name.split())[:200]  # it may be anybody's file


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
        print(line, file=sys.stderr, flush=True)


def _machine() -> str:
    """Where a number names one process: this boot of this kernel, this container. Empty where that cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{socket.gethostname()} {file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        if os.path.isdir("/proc/self"):
            return ""
        return f"{socket.gethostname()} {uuid.getnode():x}"  # macOS, which has no containers of its own


def _started(process: int) -> str:
    """When a process of this machine began, as its kernel counts; empty where there is no such process."""
    try:
        with open(f"/proc/{process}/stat") as file:
            state = file.read().rpartition(")")[2].split()
    except OSError:
        return _HIDDEN if process > 0 and _is_running(process) else ""
    return "" if state[0] == "Z" else state[19]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True

"""Where the lock of a workdir is kept, and the few operations of which, among any number of hosts, one succeeds.

An entry is a dictionary with the random `token` of its holder. What `WorkdirLock` does needs only `LockStore`: a file
system gives it by links, and a bucket by conditions on the version of an object.
"""

import contextlib
import hashlib
import json
import os
import secrets
from typing import Any, Protocol, runtime_checkable

from etils import epath

Entry = dict[str, Any]


@runtime_checkable
class LockStore(Protocol):
    """Each method raises `OSError` where the file system fails."""

    def read(self) -> Entry | None:
        """Whoever holds the lock, or is about to; None where it is free."""

    def create(self, entry: Entry) -> bool:
        """Takes a lock that is free; of several who try, one is told True."""

    def replace(self, old: Entry, new: Entry) -> bool:
        """Takes over from an entry that is exactly `old`; of several who try, one is told True."""

    def renew(self, old: Entry, new: Entry) -> bool:
        """Writes the holder's entry anew; False where the lock is not its own any more."""

    def remove(self, entry: Entry) -> None:
        """Frees the lock if it is the holder's own."""

    def age(self) -> float | None:
        """Seconds since the entry was written, both times by the clock of the file server; None where it has none."""


class FolderStore:
    """A lock in a folder that hosts may share, NFS included.

    A path is made by linking a whole file to it, which succeeds once. Who takes over from an entry links its own to a
    path that is named for the entry's token, next to the lock; then the lock is a chain, and its end the holder. It
    makes sure that its link is part of the chain, and moves it to the front. So there is no moment in which the lock
    seems free, none in which two have it, and none in which a crash leaves it to nobody.
    """

    def __init__(self, path: epath.Path):
        self._path = path

    def read(self) -> Entry | None:
        chain = self._chain()
        return chain[-1][1] if chain else None

    def create(self, entry: Entry) -> bool:
        return self._link(entry, self._path)

    def replace(self, old: Entry, new: Entry) -> bool:
        chain = self._chain()
        if not chain or chain[-1][1] != old:
            return False
        mine = self._after(old)
        if not self._link(new, mine):
            return False
        if not (now := self._chain()) or now[-1][0] != mine:  # the lock had become another's, or free
            mine.unlink(missing_ok=True)
            return False
        try:
            os.replace(mine, self._path)
        except FileNotFoundError:  # this process stood still for so long that another one has taken over from it
            return False
        for path, _ in now[1:-1]:
            path.unlink(missing_ok=True)
        return True

    def renew(self, old: Entry, new: Entry) -> bool:
        """In place, so that it needs no room on a full disk. Whoever takes over puts another file there, so that a
        holder that was away can write into its own file alone."""
        try:
            handle = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return False
        with os.fdopen(handle, "r+b", buffering=0) as file:
            if parsed_entry(file.read())["token"] != old["token"]:
                return False
            file.seek(0)
            file.write(entry_text(new))
            os.fsync(file.fileno())
        return True

    def remove(self, entry: Entry) -> None:
        """Nobody takes over from an entry while it is being removed: this holder's last one comes behind it."""
        last = self._after(entry)
        with contextlib.suppress(OSError):  # a full disk: better without
            if not self._link(entry | {"token": secrets.token_hex(16)}, last):
                return
        if (there := _read(self._path)) is not None and there["token"] == entry["token"]:
            self._path.unlink(missing_ok=True)
        last.unlink(missing_ok=True)

    def age(self) -> float | None:
        now = self._path.with_name(f"{self._path.name}.now-{secrets.token_hex(8)}")
        try:
            now.touch()
            return os.stat(now).st_mtime - os.stat(self._chain()[-1][0]).st_mtime
        except (OSError, IndexError):
            return None
        finally:
            with contextlib.suppress(OSError):
                now.unlink(missing_ok=True)

    def _chain(self) -> list[tuple[epath.Path, Entry]]:
        chain: list[tuple[epath.Path, Entry]] = []
        path = self._path
        while (entry := _read(path)) is not None and len(chain) < 100:
            chain.append((path, entry))
            path = self._after(entry)
        return chain

    def _after(self, entry: Entry) -> epath.Path:
        """Where whoever follows on an entry is. What a file says is not made a path as it is."""
        key = hashlib.sha256(str(entry["token"]).encode()).hexdigest()[:16]
        return self._path.with_name(f"{self._path.name}.{key}")

    def _link(self, entry: Entry, path: epath.Path) -> bool:
        """Puts a whole file at a path where there is none."""
        draft = self._path.with_name(f"{self._path.name}.new-{secrets.token_hex(8)}")
        try:
            with open(draft, "xb") as file:
                file.write(entry_text(entry))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                return os.stat(draft).st_nlink == 2  # a file server that lost its answer says so of what it has done
            except OSError:  # a file system without links
                return _write_new(path, entry_text(entry))
            return True
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)


_LENGTH = 512  # bytes of a file, at least: entries of one holder are of one length, so that one can lie over the other


def entry_text(entry: Entry) -> bytes:
    return json.dumps(entry).encode().ljust(_LENGTH) + b"\n"


def parsed_entry(text: bytes) -> Entry:
    """An entry without a token goes by its content: a file of another version, or what a crash has left of one."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        entry = None
    entry = entry if isinstance(entry, dict) else {}
    if not isinstance(entry.get("token"), str):
        entry["token"] = hashlib.sha256(text).hexdigest()
    return entry


def _read(path: epath.Path) -> Entry | None:
    try:
        return parsed_entry(path.read_bytes())
    except FileNotFoundError:
        return None


def _write_new(path: epath.Path, text: bytes) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True

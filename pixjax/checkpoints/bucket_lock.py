"""The lock of a workdir in a bucket: one object, which is written only over the version that was read.

Google Cloud Storage numbers the versions of an object, its generations, and puts an object under the condition that the
generation is the expected one, or that there is none. Of several who try, one succeeds.
"""

import contextlib
import email.utils
import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from pixjax.checkpoints.lock_store import Entry, entry_text, parsed_entry
from pixjax.stores import StorePath, as_os_errors


class Version(NamedTuple):
    content: bytes
    tag: str  # of this version
    age: float | None  # seconds, both times by the clock of the store


@runtime_checkable
class ConditionalObject(Protocol):
    """Each method raises `OSError` where the store fails."""

    def get(self) -> Version | None: ...

    def put(self, content: bytes, tag: str | None) -> bool:
        """Over the version `tag`, or where there is no object; False where it is another."""

    def delete(self, tag: str) -> None:
        """This version, if it is still there."""


class BucketStore:
    """A `LockStore` of one object."""

    def __init__(self, stored: ConditionalObject):
        self._stored = stored

    def read(self) -> Entry | None:
        found = self._stored.get()
        return parsed_entry(found.content) if found else None

    def create(self, entry: Entry) -> bool:
        return self._put(entry, None)

    def replace(self, old: Entry, new: Entry) -> bool:
        found = self._stored.get()
        return found is not None and parsed_entry(found.content) == old and self._put(new, found.tag)

    def renew(self, old: Entry, new: Entry) -> bool:
        found = self._stored.get()
        mine = found is not None and parsed_entry(found.content)["token"] == old["token"]
        return found is not None and mine and self._put(new, found.tag)

    def remove(self, entry: Entry) -> None:
        found = self._stored.get()
        if found is not None and parsed_entry(found.content)["token"] == entry["token"]:
            self._stored.delete(found.tag)

    def age(self) -> float | None:
        with contextlib.suppress(OSError):
            if found := self._stored.get():
                return found.age
        return None

    def _put(self, entry: Entry, tag: str | None) -> bool:
        if self._stored.put(entry_text(entry), tag):
            return True
        # A put whose answer was lost is made again by the client, and refused then because of itself.
        return self.read() == entry


class GcsObject:
    """An object of Google Cloud Storage, by its JSON interface."""

    def __init__(self, path: StorePath):
        self._client = path.file_system
        self._bucket, _, self._name = str(path).removeprefix("gs://").partition("/")

    def get(self) -> Version | None:
        with as_os_errors():
            try:
                headers, content = self._client.call("GET", "b/{}/o/{}", self._bucket, self._name, alt="media")
            except FileNotFoundError:
                return None
            return Version(content, headers["x-goog-generation"], _age(headers))

    def put(self, content: bytes, tag: str | None) -> bool:
        about = json.dumps({"name": self._name}).encode()
        body = (
            b"--==0==\nContent-Type: application/json; charset=UTF-8\n\n" + about
            + b"\n--==0==\nContent-Type: application/json\n\n" + content + b"\n--==0==--"
        )  # fmt: skip
        with as_os_errors():
            try:
                self._client.call(
                    "POST",
                    self._client.base.replace("/storage/v1/", "/upload/storage/v1/") + "b/{}/o",
                    self._bucket,
                    uploadType="multipart",
                    ifGenerationMatch=tag or "0",
                    headers={"Content-Type": 'multipart/related; boundary="==0=="'},
                    data=body,
                )
            except FileExistsError:  # what the client makes of 412
                return False
            return True

    def delete(self, tag: str) -> None:
        with as_os_errors(), contextlib.suppress(FileNotFoundError, FileExistsError):
            self._client.call("DELETE", "b/{}/o/{}", self._bucket, self._name, ifGenerationMatch=tag)


def _age(headers: Mapping[str, str]) -> float | None:
    said = {name.lower(): value for name, value in headers.items()}
    try:
        now, written = (email.utils.parsedate_to_datetime(said[name]) for name in ("date", "last-modified"))
    except (KeyError, ValueError):
        return None
    return (now - written).total_seconds()

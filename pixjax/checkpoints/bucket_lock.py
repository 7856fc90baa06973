"""The lock of a workdir in a bucket: one object, which is written only over the version that was read.

Google Cloud Storage numbers the versions of an object, its generations; S3 has a checksum of each, its ETag. Both put
an object under the condition that the version is the expected one, or that there is none. Of several who try, one
succeeds.
"""

import contextlib
import email.utils
import json
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from fsspec.asyn import sync

from pixjax.checkpoints.lock_store import Entry, entry_text, parsed_entry
from pixjax.errors import InputError
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


class S3Object:
    """An object of S3, or of a store that speaks like it.

    An ETag is of the content: the same content is the same version. Entries of a lock differ, by token and renewals.
    """

    def __init__(self, path: StorePath):
        """Raises `InputError` where the client leaves conditions out, of which it does not know."""
        self._client = path.file_system
        with as_os_errors():
            service = self._client.s3.meta.service_model
        if any("IfMatch" not in service.operation_model(n).input_shape.members for n in ("PutObject", "DeleteObject")):
            raise InputError(f"{path} needs a newer botocore, to lock it: pip install --upgrade 'pixjax[s3]'")
        bucket, _, name = str(path).removeprefix("s3://").partition("/")
        self._where = {"Bucket": bucket, "Key": name}

    def get(self) -> Version | None:
        with as_os_errors():
            try:
                found = self._client.call_s3("get_object", **self._where)
            except FileNotFoundError:
                return None
            content = sync(self._client.loop, found["Body"].read)
            return Version(content, found["ETag"], _age(found["ResponseMetadata"]["HTTPHeaders"]))

    def put(self, content: bytes, tag: str | None) -> bool:
        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with as_os_errors():
            try:
                self._client.call_s3("put_object", **self._where, Body=content, **condition)
            except OSError as error:
                if _is_other_version(error, tag):
                    return False
                raise
            return True

    def delete(self, tag: str) -> None:
        with as_os_errors():
            try:
                self._client.call_s3("delete_object", **self._where, IfMatch=tag)
            except OSError as error:
                if not _is_other_version(error, tag):
                    raise


def _is_other_version(error: OSError, tag: str | None) -> bool:
    """Whether a condition on the version failed: it is another (412), is being put (409), or is gone (404)."""
    answer = getattr(error.__cause__, "response", {}).get("ResponseMetadata", {})
    return answer.get("HTTPStatusCode") in ((404, 409, 412) if tag else (409, 412))


def _age(headers: Mapping[str, str]) -> float | None:
    said = {name.lower(): value for name, value in headers.items()}
    try:
        now, written = (email.utils.parsedate_to_datetime(said[name]) for name in ("date", "last-modified"))
    except (KeyError, ValueError):
        return None
    return (now - written).total_seconds()

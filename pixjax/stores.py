"""Object stores (gs://, s3://, …): how their clients are set up, what their errors become, and whether one answers.

A store has objects and no folders. An object is put whole: there is nothing to rename into place, and nothing to
append to. Nothing that was listed before is believed later, since checkpoints come and go past these clients.
"""

import asyncio
import contextlib
import functools
import logging
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from etils import epath
from etils.epath import backend
from etils.epath.gpath import PosixGPath

from pixjax.errors import InputError

CONNECT_SECONDS, STALLED_SECONDS = 15, 60  # a request that gets no further for so long is made again
PROBE_SECONDS = 60  # within which a store has to answer at the start
_EXTRAS = {"gs": "gcs", "s3": "s3"}
_PACKAGES = {"gs": "gcsfs", "s3": "s3fs", "az": "adlfs", "hf": "huggingface_hub"}


class StoreError(OSError):
    """What a store's client gave up on, after its own tries."""


class StorePath(PosixGPath):
    """A path in a store, whose failures are `OSError`s as those of a disk are."""

    @property
    def _backend(self) -> Any:
        return _BACKEND

    @property
    def file_system(self) -> Any:
        """The client, an fsspec file system."""
        with as_os_errors():
            return _client(str(self).partition("://")[0])

    def read_bytes(self) -> bytes:
        with as_os_errors():
            return self.file_system.cat_file(str(self))

    def read_text(self, encoding: str | None = None) -> str:
        return self.read_bytes().decode(encoding or "utf-8")

    def write_bytes(self, data: bytes) -> int:
        """By one put: whoever reads sees the old object or the new one."""
        with as_os_errors():
            self.file_system.pipe_file(str(self), data)
        return len(data)

    def write_text(self, data: str, encoding: str | None = None, errors: str | None = None) -> int:
        return self.write_bytes(data.encode(encoding or "utf-8", errors or "strict"))

    def mkdir(self, mode: int | None = None, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: clients would make a bucket where it is missing."""

    def iterdir(self) -> Iterator["StorePath"]:
        with contextlib.suppress(FileNotFoundError):  # below a name without objects there are none
            yield from super().iterdir()

    def files_below(self) -> Iterator[str]:
        """Relative names of all objects, sorted. One request for a thousand, not one for each."""
        root = str(self).partition("://")[2].rstrip("/") + "/"
        with as_os_errors():
            for name in self.file_system.find(str(self)):
                if name.startswith(root) and not name.endswith("/"):
                    yield name[len(root) :]

    def rename(self, target: Any) -> "StorePath":
        """Copies all objects, as a store can move none, and deletes the old ones when the new ones are there."""
        new = StorePath(target)
        if new.exists():
            raise FileExistsError(f"{new} exists: {self} cannot be renamed to it")
        below = [f"/{name}" for name in self.files_below()] or [""]
        with as_os_errors():
            old = [f"{self}{name}" for name in below]
            self.file_system.copy(old, [f"{new}{name}" for name in below])
            self.file_system.rm(old)
        return new

    def download(self, target: epath.Path) -> None:
        """Into a file of this machine, piece by piece."""
        with as_os_errors():
            self.file_system.get_file(str(self), os.fspath(target))

    def upload(self, source: epath.Path) -> None:
        """From a file of this machine, piece by piece; the object appears when it is whole."""
        with as_os_errors():
            self.file_system.put_file(os.fspath(source), str(self))


def require_reachable(path: epath.Path, what: str) -> None:
    """Asks the bucket of a path for an answer; what a bucket has answered once is not asked again.

    Raises `InputError` within a minute: a bucket that is not there, no permission, no credentials, no answer, or no
    package for this kind of store.
    """
    scheme, _, rest = str(path).partition("://")
    _ask(scheme, rest.partition("/")[0], what)


@functools.lru_cache
def _ask(scheme: str, bucket: str, what: str) -> None:
    address = f"{scheme}://{bucket}"
    failed: list[BaseException] = []
    answered = threading.Event()

    def ask() -> None:
        try:
            with as_os_errors():
                _list_one(scheme, bucket)
        except BaseException as error:
            failed.append(error)
        answered.set()

    threading.Thread(target=ask, daemon=True).start()  # a client without credentials looks for them for minutes
    if not answered.wait(PROBE_SECONDS):
        raise InputError(
            f"{what}: {address} gave no answer within {PROBE_SECONDS} s: check the network, the address, and that "
            f"credentials are set up ({_how_to_log_in(scheme)})"
        )
    if not failed:
        return
    error = failed[0]
    reason = " ".join(str(error).split())[:200]
    if isinstance(error, ImportError):
        install = f"pixjax[{_EXTRAS[scheme]}]" if scheme in _EXTRAS else _PACKAGES[scheme]
        raise InputError(f"{what}: {address} needs a package that is not installed: pip install '{install}'") from None
    if isinstance(error, FileNotFoundError):
        raise InputError(f"{what}: the bucket {address} does not exist: create it, or correct its name") from None
    raise InputError(
        f"{what}: {address} cannot be reached ({reason}): check the address, your credentials "
        f"({_how_to_log_in(scheme)}) and their permissions"
    ) from error


def _list_one(scheme: str, bucket: str) -> None:
    client = _client(scheme)
    if scheme == "gs":
        client.call("GET", "b/{}/o", bucket, maxResults=1, json_out=True)
    elif scheme == "s3":
        client.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
    else:
        client.exists(bucket)


def _how_to_log_in(scheme: str) -> str:
    commands = {"gs": "gcloud auth application-default login", "s3": "aws configure", "hf": "hf auth login"}
    return commands.get(scheme, "see the documentation of the store")


@functools.lru_cache
def _client(scheme: str) -> Any:
    _set_up()
    return backend.fsspec_backend.fs(f"{scheme}://")


def s3_service() -> dict[str, Any]:
    """Where tensorstore finds S3 and who it is there, for the spec of its driver: as the client.

    Of AWS itself it finds the region of a bucket; and where the environment has no keys, it looks for them as AWS's own
    programs do.
    """
    with as_os_errors():
        about = _client("s3").s3.meta
    service: dict[str, Any] = {}
    if not (urllib.parse.urlsplit(about.endpoint_url).hostname or "").endswith(".amazonaws.com"):
        service |= {"endpoint": about.endpoint_url, "aws_region": about.region_name or "us-east-1"}
    if "AWS_ACCESS_KEY_ID" in os.environ:  # else it complains of the files that it does not find
        service["aws_credentials"] = {"type": "environment"}
    return service


@functools.lru_cache
def _set_up() -> None:
    """Bounds what a client waits for. Whatever the user has set for fsspec or in the environment goes first."""
    import fsspec

    fsspec.config.conf["gs"] = _gcs_options() | fsspec.config.conf.get("gs", {})
    fsspec.config.conf["s3"] = _S3_OPTIONS | fsspec.config.conf.get("s3", {})
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    for name in ("gcsfs", "s3fs", "aiobotocore", "botocore"):  # they narrate what they try again; what fails is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)


_ENVIRONMENT = {
    # A call before every other one, which needs a permission of its own and asks for credentials where none are needed.
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    # tensorstore, which reads and writes the arrays of checkpoints, waits without end else.
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": str(STALLED_SECONDS),
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}
_S3_OPTIONS = {
    "use_listings_cache": False,
    "config_kwargs": {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": STALLED_SECONDS,
        "retries": {"mode": "standard", "max_attempts": 6},
    },
}


def _gcs_options() -> dict[str, Any]:
    with contextlib.suppress(ImportError):
        import aiohttp

        wait = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=STALLED_SECONDS)
        return {"use_listings_cache": False, "requests_timeout": wait}
    return {}


@contextlib.contextmanager
def as_os_errors() -> Iterator[None]:
    """Makes what a client raises beyond `OSError` a `StoreError`; a missing package stays an `ImportError`."""
    try:
        yield
    except (OSError, ImportError, NotImplementedError, TypeError):
        raise
    except (Exception, asyncio.CancelledError) as error:  # each client has errors of its own
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise StoreError(f"the store failed ({reason})") from error


class _Backend:
    """What `etils.epath` does in stores, with its errors made those of the operating system."""

    def exists(self, path: str) -> bool:
        """fsspec itself says no where the store fails: a run whose checkpoints are there would begin anew."""
        return self._kind(path) != ""

    def isdir(self, path: str) -> bool:
        return self._kind(path) == "directory"

    def _kind(self, path: str) -> str:
        scheme, _, rest = str(path).partition("://")
        with as_os_errors():
            if "/" not in rest.rstrip("/"):  # a bucket, whose facts need a permission of their own
                return "directory"
            try:
                return _client(scheme).info(path)["type"]
            except FileNotFoundError:
                return ""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(backend.fsspec_backend, name)

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with as_os_errors():
                _set_up()
                return method(*args, **kwargs)

        return call


_BACKEND = _Backend()

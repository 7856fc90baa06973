"""What stands between a client and an emulated store, and spoils requests: an HTTP proxy with a list of faults."""

import dataclasses
import http.client
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import nullcontext

_OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclasses.dataclass
class Fault:
    """For the first `times` requests of which `method` and the unquoted address `matches`, `happens`."""

    happens: Callable[["Handler", bytes], bool]  # whether that was all; else the request goes on to the store
    times: int
    method: str
    matches: str
    came: int = 0


def status(code: int, message: str, name: str = "") -> Callable:
    """`name` is that of the error on S3, such as `SlowDown`."""

    def happens(handler, _):
        if handler.server.xml:
            text = f"<Error><Code>{name or code}</Code><Message>{message}</Message></Error>"
            handler.reply(code, text.encode(), (("Content-Type", "application/xml"),))
        else:
            handler.reply(code, json.dumps({"error": {"code": code, "message": message}}).encode())
        return True

    return happens


def slow(seconds: float) -> Callable:
    return lambda *_: bool(time.sleep(seconds))


def cut(handler, _) -> bool:
    """The connection breaks while the request is on its way."""
    handler.close_connection = True
    handler.connection.close()
    return True


def answer_lost(handler, body) -> bool:
    """The store has done what was asked, and nobody hears of it."""
    handler.forward(body)
    return cut(handler, body)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self):
        length = int(self.headers.get("Content-Length", 0))
        fault = self.server.next_fault(self.command, urllib.parse.unquote(self.path))
        if fault is cut:  # in the midst of what is sent
            self.rfile.read(length // 2)
            cut(self, b"")
            return
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed: a store takes nothing that is not whole
            self.close_connection = True
            return
        if fault is None or not fault(self, body):
            self.reply(*self.forward(body))

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = _serve

    def forward(self, body: bytes):
        store = http.client.HTTPConnection("127.0.0.1", self.server.store_port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _OF_ONE_HOP}
        # A store looks at a condition and puts in one; an emulator in Python does two things.
        with self.server.one_by_one if {"if-match", "if-none-match"} & {k.lower() for k in headers} else nullcontext():
            store.request(self.command, self.path, body=body, headers=headers)
            answer = store.getresponse()
            content = answer.read()
        store.close()
        return answer.status, content, answer.getheaders()

    def reply(self, code: int, content: bytes, headers=(("Content-Type", "application/json"),)):
        self.send_response_only(code)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", lengths[0] if self.command == "HEAD" and lengths else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):  # a connection that was cut, by this side or by a client that was killed
            self.close_connection = True

    def log_message(self, *_):
        pass


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *, xml: bool = False):
        """Errors are told in XML, as by S3, or in JSON."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.xml = xml
        self.store_port = 0
        self.faults: list[Fault] = []
        self.requests = 0
        self.one_by_one = threading.Lock()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add(self, happens: Callable, times: int = 1, *, method: str = "", matches: str = "") -> Fault:
        self.faults.append(Fault(happens, times, method, matches))
        return self.faults[-1]

    def next_fault(self, method: str, address: str) -> Callable | None:
        with self._lock:
            self.requests += 1
            for fault in self.faults:
                if fault.came < fault.times and fault.method in ("", method) and fault.matches in address:
                    fault.came += 1
                    return fault.happens
        return None

    def handle_error(self, *_):
        pass

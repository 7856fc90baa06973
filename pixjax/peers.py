"""A watch among the processes of a run: one that is lost ends the others at once, by its name.

A collective that waits for a process that is gone cannot be interrupted, and jax notices after a hundred seconds. So
every process keeps a connection to process 0, over which both say each second that they are there. A connection that
closes, or is silent for long, without a goodbye is a lost process: process 0 tells the others its name, and all end
with `LOST_PEER`, the exit code that means "start all of us again". A process that ends on purpose says goodbye first.

Where they meet is told through the key-value store that jax keeps for a run, whatever launcher connected it.
"""

import contextlib
import ctypes
import json
import os
import secrets
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from pixjax.streams import PATIENCE, safe

LOST_PEER = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong with the command, give it again

BEAT = 1.0  # seconds between two signs of life
SILENCE = 20  # beats without one after which a process is lost
GRACE = 10  # beats in which a process ends by itself after another one failed, with its own words
JOIN_SECONDS = 60.0  # to find process 0
_KEY = "pixjax/peers"
_LONGEST = 4096  # bytes of a message


class Line:
    """A connection that carries one JSON object a line; `name` is who is at the other end."""

    def __init__(self, connection: socket.socket, name: str = ""):
        self.socket, self.name = connection, name
        self.silent = 0  # beats
        self.is_open = True
        self.said_goodbye = False
        self._rest = b""
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, message: dict[str, Any]) -> None:
        """Never waits: who does not read for so long that a message has no room is silent as well."""
        with contextlib.suppress(OSError):
            self.socket.send(json.dumps(message).encode() + b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """What came; `is_open` is false once the other end has closed."""
        try:
            while data := self.socket.recv(65536):
                self._rest += data
                self.silent = 0
            self.is_open = False
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > _LONGEST:
            self.is_open = False
        for line in lines:
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message


class Peers:
    """The watch of one process: a thread that ends the process where another one is lost.

    `on_loss` are called with the reason before that, each for five seconds at most.
    """

    def __init__(
        self,
        index: int,
        count: int,
        *,
        lines: dict[int, Line] | None = None,
        server: socket.socket | None = None,
        token: str = "",
        beat: float = BEAT,
        end: Callable[[int], Any] = os._exit,
        say: Callable[[str], Any] | None = None,
    ):
        """Process 0 has a `server`, any other one line, to process 0."""
        self.index, self.count = index, count
        self.on_loss: list[Callable[[str], Any]] = []
        self._lines = lines or {}
        self._server, self._token = server, token
        self._strangers: list[Line] = []  # that have not said who they are
        self._beat, self._end, self._say = beat, end, say or _say
        self._ended = threading.Event()
        self._pending: tuple[str, int, int] | None = None  # what another one failed by, its code, and beats left
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stops to watch."""
        self._ended.set()
        self._thread.join()
        for line in [*self._lines.values(), *self._strangers]:
            line.socket.close()
        if self._server is not None:
            self._server.close()

    def goodbye(self, code: int = 0, reason: str = "") -> None:
        """This process ends on purpose: with `code` and a reason, where it has failed and the others cannot go on."""
        for line in list(self._lines.values()):
            line.send({"goodbye": code, "reason": reason[:1000]})

    def settle(self, seconds: float) -> None:
        """To be called with an error, which may come from the loss of another process: waits so long for the watch,
        which knows more, and does not return where it has found one.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ended.is_set():
            if (pending := self._pending) is not None:
                self._pending = (*pending[:2], 0)
            time.sleep(0.05)
        if self._ended.is_set():  # it tells the reason and gives the lock back, which takes a moment
            self._thread.join()

    def wait_for_goodbyes(self, seconds: float) -> None:
        """Process 0, which the others need to be there, ends last."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(x.is_open and not x.said_goodbye for x in self._lines.values()):
            time.sleep(0.05)

    def _watch(self) -> None:
        next_beat = time.monotonic() + self._beat
        while not self._ended.is_set():
            watched = [line for line in [*self._lines.values(), *self._strangers] if line.is_open]
            with selectors.DefaultSelector() as selector:
                for ready in [line.socket for line in watched] + ([self._server] if self._server else []):
                    selector.register(ready, selectors.EVENT_READ)
                selector.select(min(self._beat, max(0.0, next_beat - time.monotonic())))
            self._accept()
            for line in watched:
                self._hear(line)
            if self._pending is not None and self._pending[2] <= 0:
                self._leave(*self._pending[:2])
                return
            if time.monotonic() < next_beat:
                continue
            # A beat is counted where this thread ran: a process that stood still does not take the others for silent.
            next_beat = time.monotonic() + self._beat
            if self._pending is not None:
                self._pending = (*self._pending[:2], self._pending[2] - 1)
            for line in self._lines.values():
                line.send({})
                line.silent += 1
                if line.is_open and not line.said_goodbye and line.silent > SILENCE:
                    line.is_open = False
                    self._lost(f"{line.name} gave no sign for {SILENCE * self._beat:.0f} s")
                    return

    def _accept(self) -> None:
        if self._server is not None:
            with contextlib.suppress(OSError):  # no process connects
                while True:
                    connection, _ = self._server.accept()
                    self._strangers.append(Line(connection))

    def _hear(self, line: Line) -> None:
        for message in line.read():
            if line in self._strangers:
                self._strangers.remove(line)
                index = message.get("index")
                if message.get("token") != self._token or not isinstance(index, int) or not 0 < index < self.count:
                    line.socket.close()
                    return
                line.name = named(index, self.count, str(message.get("host")), message.get("process"))
                self._lines[index] = line
            elif isinstance(code := message.get("goodbye"), int):
                line.said_goodbye = True
                if code:
                    self._failed(f"{line.name} ended: {message.get('reason')}", code)
            elif isinstance(lost := message.get("lost"), str):
                self._leave(lost, LOST_PEER)
            elif isinstance(failed := message.get("failed"), str):
                self._failed(failed, int(message.get("code", 1)))
        if line.is_open:
            return
        if line in self._strangers:
            self._strangers.remove(line)
        elif not line.said_goodbye:
            self._lost(f"{line.name} is gone")

    def _lost(self, reason: str) -> None:
        for line in self._lines.values():
            line.send({"lost": reason})
        self._leave(reason, LOST_PEER)

    def _failed(self, reason: str, code: int) -> None:
        """Another one failed: this one fails of the same by itself, or cannot go on."""
        if self._pending is None:
            self._pending = (reason, code, GRACE)
            for line in self._lines.values():
                line.send({"failed": reason, "code": code})

    def _leave(self, reason: str, code: int) -> None:
        text = f"{reason}: this process cannot go on without it and ends with exit code {code}"
        if code == LOST_PEER:
            text += "; start all processes again, which continue from the last checkpoint"
        self._ended.set()
        self._say(text)
        for tell in reversed(self.on_loss):
            _for_a_while(tell, text)
        self._end(code)


def named(index: int, count: int, host: str, process: Any = None) -> str:
    number = f", number {process} there" if isinstance(process, int) else ""
    return " ".join(f"process {index} of {count} (host {host}{number})".split())[:300]


_current: Peers | None = None


def current() -> Peers | None:
    """The watch of this process; none where it is alone, or where the others could not be found."""
    return _current


@contextlib.contextmanager
def told(*hear: Callable[[str], Any]) -> Iterator[None]:
    """Has these called with the reason before this process ends because of another one, the last one first."""
    others = _current
    if others is None:
        yield
        return
    others.on_loss += hear
    try:
        yield
    finally:
        del others.on_loss[-len(hear) :]


def start(beat: float = BEAT) -> str:
    """Begins the watch, after jax has connected the processes; why there is none, empty where there is.

    What it needs of jax is half private: where that is gone, jax's own hundred seconds remain.
    """
    global _current
    try:
        from jax._src.distributed import global_state as run

        client, index, count = run.client, run.process_id, run.num_processes
        if client is None or count < 2:
            return ""
        if index == 0:
            _current = _first(client, count, beat)
        else:
            told = json.loads(client.blocking_key_value_get(_KEY, int(JOIN_SECONDS * 1000)))
            host = str(run.coordinator_address).rpartition(":")[0].strip("[]")
            _current = _other(host, told, index, count, beat)
            _delay_abort()
    except (ImportError, AttributeError, TypeError, ValueError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return f"the processes cannot watch each other ({reason}): one that is lost is noticed after 100 s"
    _current.start()
    return ""


def _first(client: Any, count: int, beat: float) -> Peers:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    server = socket.create_server(("", 0), family=family, dualstack_ipv6=both, backlog=count)
    server.setblocking(False)
    token = secrets.token_hex(16)
    told = {"port": server.getsockname()[1], "token": token, "host": socket.gethostname(), "process": os.getpid()}
    client.key_value_set(_KEY, json.dumps(told))
    return Peers(0, count, server=server, token=token, beat=beat)


def _other(host: str, told: dict[str, Any], index: int, count: int, beat: float) -> Peers:
    connection = socket.create_connection((host, told["port"]), timeout=JOIN_SECONDS)
    line = Line(connection, named(0, count, str(told["host"]), told["process"]))
    line.send({"token": told["token"], "index": index, "host": socket.gethostname(), "process": os.getpid()})
    return Peers(index, count, lines={0: line}, beat=beat)


def _delay_abort() -> None:
    """Where process 0 is lost, jax aborts this process, with a stack of C++ and no name: it waits six seconds first.

    A handler of SIGABRT is called with the signal's number, 6. sleep() is safe to be called in one.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        handler = ctypes.cast(libc.sleep, ctypes.c_void_p)
        libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        libc.signal(signal.SIGABRT, handler)


def _say(text: str) -> None:
    safe(sys.stderr, patience=PATIENCE).write(f"pixjax: {text}\n")


def _for_a_while(tell: Callable[[str], Any], text: str) -> None:
    def quietly() -> None:
        with contextlib.suppress(Exception):  # the process ends, whatever its log says
            tell(text)

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(5.0)


def leave(code: int, reason: str = "") -> None:
    """Before this process ends with `code`: tells the others, who do not wait for it then. One that is alone has none.

    A process that failed does not come back from here: jax would have it wait five minutes for the others.
    """
    if _current is None:
        return
    _current.goodbye(code if reason else 0, reason)
    if reason:
        if _current.index == 0:
            _current.wait_for_goodbyes(GRACE * BEAT)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

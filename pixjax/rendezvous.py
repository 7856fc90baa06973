"""A rendezvous of all processes of a run before jax connects them, which would end without saying who is missing."""

import contextlib
import socket
import struct
import time

from pixjax.errors import RunError

_INDEX = struct.Struct("!7sII")  # _HERE, process index, number of processes
_HERE = b"pixjax\n"  # jax, which knows no such word, listens at the same address once a run has begun


def meet(coordinator: str, num_processes: int, process_id: int, seconds: float) -> None:
    """Returns on every process once all of them are there; process 0 listens at `coordinator`, HOST:PORT.

    Raises `RunError`, on every process that came, with the numbers of those that did not within `seconds`.
    """
    host, _, port = coordinator.rpartition(":")
    if process_id:
        _report(host, int(port), num_processes, process_id, seconds)
        return
    deadline = time.monotonic() + seconds
    came: dict[int, socket.socket] = {}
    wrong = ""
    with socket.create_server(("", int(port)), reuse_port=hasattr(socket, "SO_REUSEPORT")) as server:
        while not wrong and len(came) < num_processes - 1 and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection, _ = server.accept()
                connection.settimeout(5.0)
                word, index, count = _INDEX.unpack(connection.recv(_INDEX.size, socket.MSG_WAITALL))
            except (TimeoutError, OSError, struct.error):
                continue  # too late, or somebody else
            if word != _HERE:
                continue
            if count != num_processes:
                wrong = (
                    f"process {index} has --num-processes={count} and process 0 has {num_processes}: give all the same"
                )
            elif index in came:
                wrong = f"two processes have --process-id={index}: give each its own, from 0 to {num_processes - 1}"
            came[index if not wrong else -1] = connection
        missing = [str(index) for index in range(1, num_processes) if index not in came]
        problem = wrong
        if missing and not wrong:
            problem = _who(f"process {' and '.join(missing)} of {num_processes} did not come", coordinator, seconds)
        for connection in came.values():
            with connection, contextlib.suppress(OSError):
                connection.sendall(_HERE + problem.encode())
    if problem:
        raise RunError(problem)


def _report(host: str, port: int, num_processes: int, process_id: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    was_there = False
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        answer = b""
        try:
            with socket.create_connection((host, port), timeout=left) as connection:
                was_there = True
                connection.sendall(_INDEX.pack(_HERE, process_id, num_processes))
                connection.settimeout(left + 10)  # process 0 may have begun to wait later
                while data := connection.recv(4096):
                    answer += data
        except OSError:  # no one listens yet, or the connection was cut off
            pass
        if answer.startswith(_HERE):
            break
        if time.monotonic() > deadline or answer:
            if was_there:
                raise RunError(
                    f"process {process_id} of {num_processes} came too late, or to something else: what listens at "
                    f"{host}:{port} has begun without it; stop all processes and start them again"
                )
            raise RunError(_who("process 0 did not come", f"{host}:{port}", seconds))
        time.sleep(0.2)
    if problem := answer[len(_HERE) :].decode(errors="replace"):
        raise RunError(problem)


def _who(problem: str, coordinator: str, seconds: float) -> str:
    return (
        f"{problem} to {coordinator} within {seconds:.0f} s: start all of them, with one coordinator that all can reach"
    )

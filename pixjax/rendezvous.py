"""Do all processes of a run come? Asked before jax connects them, which would end without saying who is missing."""

import socket
import struct
import time

from pixjax.errors import RunError

_INDEX = struct.Struct("!II")  # process index, number of processes


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
    with socket.create_server(("", int(port)), reuse_port=hasattr(socket, "SO_REUSEPORT")) as server:
        while len(came) < num_processes - 1 and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection, _ = server.accept()
                connection.settimeout(5.0)
                index, count = _INDEX.unpack(connection.recv(_INDEX.size, socket.MSG_WAITALL))
            except (TimeoutError, OSError, struct.error):
                continue  # too late, or somebody else
            if count == num_processes and 0 < index < num_processes:
                came[index] = connection
        missing = [str(index) for index in range(1, num_processes) if index not in came]
        problem = f"process {' and '.join(missing)} of {num_processes} did not come" if missing else ""
        for connection in came.values():
            with connection:
                connection.sendall(problem.encode())
    if problem:
        raise _error(problem, coordinator, seconds)


def _report(host: str, port: int, num_processes: int, process_id: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), 0.1)
        try:
            with socket.create_connection((host, port), timeout=left) as connection:
                connection.sendall(_INDEX.pack(process_id, num_processes))
                connection.settimeout(left + 10)  # process 0 may have begun to wait later
                problem = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            if time.monotonic() > deadline:
                raise _error("process 0 did not come", f"{host}:{port}", seconds) from None
            time.sleep(0.2)
            continue
        if problem:
            raise _error(problem, f"{host}:{port}", seconds)
        return


def _error(problem: str, coordinator: str, seconds: float) -> RunError:
    return RunError(
        f"{problem} to {coordinator} within {seconds:.0f} s: start all of them, with one coordinator that all can reach"
    )

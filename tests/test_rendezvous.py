"""Processes that come late, twice, or with another number of processes are told so."""

import socket
import threading

import pytest

from pixjax.errors import RunError
from pixjax.rendezvous import meet


@pytest.fixture
def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def met(address: str, *calls: tuple[int, int]) -> list[str]:
    """What processes, each (index, count), were told; empty for those that met."""
    said = [""] * len(calls)

    def one(place: int, index: int, count: int) -> None:
        try:
            meet(address, count, index, 20.0)
        except RunError as error:
            said[place] = str(error)

    threads = [threading.Thread(target=one, args=(place, *call)) for place, call in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return said


def test_all_meet(address):
    assert met(address, (1, 3), (0, 3), (2, 3)) == ["", "", ""]


def test_processes_of_another_number_are_told_both_numbers(address):
    for line in met(address, (0, 3), (1, 2)):
        assert "process 1 has --num-processes=2 and process 0 has 3" in line


def test_two_processes_with_one_number_are_told_so(address):
    assert "two processes have --process-id=1" in met(address, (0, 3), (1, 3), (1, 3))[0]


def test_a_process_that_comes_when_the_run_has_begun_is_told_so(address):
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as server:  # jax, which answers in words of its own, and closes

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"\x00\x00\x12\x04")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RunError, match="process 1 of 2 came too late"):
            meet(address, 2, 1, 10.0)
        thread.join()

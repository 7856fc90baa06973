"""What nobody foresaw is one line too, and its traceback is in a file that the line names."""

import errno
import os
import re
import tempfile

import pytest

from pixjax.cli import main
from pixjax.commands import inspect


@pytest.fixture
def failing(monkeypatch, tmp_path, capsys):
    """`failing(error)` is the exit code and what is said of a command that raises it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(error: Exception) -> tuple[int, str]:
        def fail(_args):
            raise error

        monkeypatch.setattr(inspect, "run", fail)
        code = main(["inspect", "--workdir=X"])
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return code, said

    return run


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP])
def test_a_place_that_cannot_be_used_is_wrong_input(failing, number):
    reason = os.strerror(number)
    assert failing(OSError(number, reason, "runs/x")) == (2, f"pixjax: runs/x: {reason}: choose another path\n")
    assert failing(OSError(number, reason)) == (2, f"pixjax: {reason}: choose another path\n")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory\n  in fusion.7\n"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ImportError("libcudart.so.12: cannot open shared object file"),
        MemoryError(),
    ],
)
def test_what_the_machine_does_wrong_is_one_line_that_names_the_file_with_its_traceback(failing, error):
    code, said = failing(error)
    assert code == 1
    path = re.fullmatch(r"pixjax: .* \(traceback: (.*)\)\n", said)[1]
    with open(path) as file:
        kept = file.read()
    assert type(error).__name__ in kept
    assert "raise error" in kept


def test_what_did_not_fit_into_memory_is_told_with_what_to_do(failing):
    code, said = failing(MemoryError("Unable to allocate 3.64 TiB"))
    assert code == 1
    assert said.startswith("pixjax: out of memory (Unable to allocate 3.64 TiB): ask for less at once (traceback: ")


def test_where_no_file_can_be_written_the_line_stays(failing, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    assert failing(RuntimeError("odd")) == (1, "pixjax: RuntimeError: odd\n")


def test_a_bug_is_a_traceback(failing):
    with pytest.raises(TypeError):
        failing(TypeError("of ours"))

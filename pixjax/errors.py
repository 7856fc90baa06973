"""The two errors that reach a user, each one sentence that says what to do, and the exit code of any failure."""

import contextlib
import errno
import os
import tempfile
import traceback


class InputError(ValueError):
    """What the user gave is wrong: the message names the value, the limit and the remedy (exit code 2)."""


class RunError(RuntimeError):
    """The input was right and the work failed all the same (exit code 1)."""


def require(condition: bool, message: str) -> None:
    """Raises `InputError` with the message unless the condition holds."""
    if not condition:
        raise InputError(message)


_WRONG_PATH = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_WRONG_PLACE = {errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP}
# What the machine, its libraries or its disks do wrong. Anything else is a bug, whose traceback is shown.
_OF_THE_MACHINE = (OSError, RuntimeError, UnicodeError, ImportError, MemoryError)


def outcome_of(error: BaseException) -> tuple[int, str]:
    """The exit code, 1 (failed) or 2 (wrong input), and one line; the traceback of what was not foreseen is in a file
    that the line names. A bug is raised again.
    """
    if isinstance(error, InputError):
        return 2, _one_line(error)
    if isinstance(error, RunError):
        return 1, _one_line(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(error, OSError) and (isinstance(error, _WRONG_PATH) or error.errno in _WRONG_PLACE):
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return 2, f"{place}{error.strerror or error}: choose another path"
    if isinstance(error, _OF_THE_MACHINE):
        kept = keep_traceback(error)
        if isinstance(error, MemoryError):
            return 1, f"out of memory ({_one_line(error)}): ask for less at once{kept}"
        if isinstance(error, OSError):
            return 1, f"{_one_line(error)}: what was written before is kept{kept}"
        return 1, f"{type(error).__name__}: {_one_line(error)}{kept}"
    raise error


def keep_traceback(error: BaseException) -> str:
    """Writes it into a file for temporary files; a clause that names the file, empty where there is no room."""
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile(
            "w", prefix="pixjax-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            traceback.print_exception(error, file=file)
        return f" (traceback: {file.name})"
    return ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

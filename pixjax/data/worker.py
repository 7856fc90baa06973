"""Processes that work for another one: a script has to guard what starts them, and they end with the one that did."""

import ast
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
from types import FrameType

from pixjax.errors import InputError


def require_guard(setting: str) -> None:
    """Raises `InputError` where this was called by a script outside of its `if __name__ == "__main__":`.

    To be called before processes are started (spawned): they would run the script from its beginning, and whoever
    waits for them would wait for ever. `setting` is what asks for processes, for instance `data.workers=2`.
    """
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:  # a console, a notebook, or python -m
        return
    line = _line_of(main)
    if line and _is_unguarded(path, line):
        raise InputError(
            f"{setting} starts processes, each of which runs {path} again to import it: put what it does from line "
            f'{line} on below an if __name__ == "__main__":'
        )


def _line_of(main) -> int:
    """The line of the module that its main thread is at; 0 where it is not known."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(main):
            return frame.f_lineno
        frame = frame.f_back
    return 0


def _is_unguarded(path: str, line: int) -> bool:
    try:
        statements = ast.parse(pathlib.Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    for statement in statements:
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            names = (
                {node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)}
                if isinstance(statement, ast.If)
                else set()
            )
            return "__name__" not in names
    return False


# What a worker goes on for when it is told to end.
_GRACE_SECONDS = 20.0

# SIGHUP: the terminal is gone; SIGUSR1: SLURM's warning. All of a job's processes may get them.
ENDING = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)}


def start_worker() -> None:
    """To be called first in a worker, which ends with the process that started it.

    A signal to end that goes to all processes of a job leaves it time to feed the one that is saving.
    """

    def end_soon(*_) -> None:
        ending = threading.Timer(_GRACE_SECONDS, os._exit, (1,))
        ending.daemon = True
        ending.start()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in ENDING - {signal.SIGINT}:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, end_soon)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # whoever starts workers may have blocked them
    parent = multiprocessing.parent_process()
    if parent is not None:

        def exit_with_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=exit_with_parent, daemon=True).start()

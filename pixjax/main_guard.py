"""A script that starts processes has to guard what it does: each of them runs the script again to import it."""

import ast
import pathlib
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

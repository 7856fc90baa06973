"""Event loops that are empty when they close, for orbax's reads.

Orbax reads the arrays of an item as tasks of one event loop, and closes it at the first error. The reads that go on
find a loop that is closed, or end with an error that nobody asks for, and asyncio and tensorstore tell each with a
traceback, beside the one line that says what is wrong.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

_PATIENCE = 120.0  # seconds: of a store that does not answer, one read may take long after another has failed
_ONE_AT_A_TIME = threading.Lock()  # the policy is that of the whole process


class _DrainedLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for its tasks, and asks for their errors, before it closes."""

    def __init__(self) -> None:
        super().__init__()
        self._made: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        task = super().create_task(*args, **kwargs)
        self._made.add(task)
        return task

    def close(self) -> None:
        try:
            # To cancel them would leave what tensorstore reads, which tells the loop when it has ended.
            if not self.is_closed() and not self.is_running() and (left := asyncio.all_tasks(self)):
                self.run_until_complete(asyncio.wait(left, timeout=_PATIENCE))
            for task in self._made:  # also one that ended in the last round, of which the loop tells nobody any more
                if task.done() and not task.cancelled():
                    task.exception()
        finally:
            super().close()


class _DrainedLoops(asyncio.DefaultEventLoopPolicy):  # deprecated in Python 3.14, and the only way to them until 3.16
    """Those of the thread that it was made in."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _DrainedLoop() if threading.get_ident() == self._thread else super().new_event_loop()


@contextlib.contextmanager
def drained_event_loops() -> Iterator[None]:
    """Event loops that are made within, by this thread, leave nothing that still runs."""
    with _ONE_AT_A_TIME:
        before = asyncio.get_event_loop_policy()
        asyncio.set_event_loop_policy(_DrainedLoops())
        try:
            yield
        finally:
            asyncio.set_event_loop_policy(before)

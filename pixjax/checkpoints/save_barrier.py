"""Where the processes of a run wait for each other in a save, unless it has failed on one of them."""

import contextlib
import itertools
import sys
import threading
from typing import Any

import jax
import orbax.checkpoint as ocp

_LOOK_EVERY = 0.5  # seconds
_opened = itertools.count()  # the same on all processes, which open together


class SaveFailedElsewhere(Exception):
    """On another process, which the message names."""


class SaveBarrier:
    """For orbax, which would have the other processes wait twenty minutes for one whose save has failed.

    The failure is told through the key-value store that jax keeps for a run.
    """

    def __init__(self):
        self._client: Any = None
        self._failure_key = ""

    def options(self) -> dict[str, Any]:
        """For a `CheckpointManager`; each has names of its own for its barriers, as those of a failed save stay."""
        if jax.process_count() == 1:
            return {}
        number = next(_opened)
        self._failure_key = f"pixjax/failed_save/{number}"
        with contextlib.suppress(ImportError, AttributeError):  # half private; without it a failure takes its time
            from jax._src.distributed import global_state

            self._client = global_state.client
        options: dict[str, Any] = {
            "multiprocessing_options": ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=f"manager{number}")
        }
        if self._client is not None:
            options["async_options"] = ocp.options.AsyncOptions(barrier_sync_fn=self._wait)
        return options

    def fail(self, reason: str) -> None:
        """Tells all processes; of several reasons the first one stays."""
        if self._client is not None:
            with contextlib.suppress(RuntimeError, ValueError):  # another one was first
                self._client.key_value_set(self._failure_key, f"process {jax.process_index()}: {reason}")

    def _wait(self, *, key: str, timeout_ms: int) -> None:
        """Raises `SaveFailedElsewhere` once the save has failed on any process.

        Where it has failed on this one, orbax comes here on its way out: the others are told, and not waited for.
        """
        if (error := sys.exc_info()[1]) is not None:
            self.fail(" ".join(f"{type(error).__name__}: {error}".split())[:200])
            return
        client = self._client
        outcome: list[Exception | None] = []

        def wait() -> None:
            try:
                client.wait_at_barrier(key, timeout_ms)
                outcome.append(None)
            except Exception as error:  # raised by the thread that waits for this one
                outcome.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        while True:
            thread.join(_LOOK_EVERY)
            if outcome:
                if outcome[0] is not None:
                    raise outcome[0]
                return
            if failure := self._failure():
                raise SaveFailedElsewhere(failure)

    def _failure(self) -> str:
        try:
            return self._client.key_value_try_get(self._failure_key)
        except (RuntimeError, ValueError):  # there is none
            return ""

"""How a process that was started to work for another one ends: with that one, and not before it."""

import multiprocessing
import os
import signal
import threading

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

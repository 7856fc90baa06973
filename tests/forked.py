"""Commands of `pixjax` in processes of their own that need not import it: forks of one that has, and computed nothing.

As a program it is that process. It reads a line of JSON for each start, and answers with the process id. Tests of what
happens before the command runs (the entry point, what is read from the environment on import) start Python itself.
"""

import contextlib
import gc
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time


class Forked:
    """A running command: what tests use of `subprocess.Popen`."""

    def __init__(self, pid: int, status: pathlib.Path):
        self.pid, self.returncode, self._status = pid, None, status

    def poll(self) -> int | None:
        if self.returncode is None and self._status.exists():
            self.returncode = os.waitstatus_to_exitcode(int(self._status.read_text()))
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """`start(["train", ...], stderr)` is a running command; one that is to change the package first names a script."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._server = subprocess.Popen([sys.executable, __file__], stdin=-1, stdout=-1, text=True)

    def start(
        self, arguments: list[str], stderr: pathlib.Path, *, devices: int = 1, script: str = "", **more: str
    ) -> Forked:
        """`more` is added to the environment."""
        status = pathlib.Path(tempfile.mkdtemp(dir=self._folder)) / "status"
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)} | more
        order = {
            "arguments": arguments, "environment": environment, "folder": os.getcwd(), "stderr": str(stderr),
            "status": str(status), "script": script,
        }  # fmt: skip
        print(json.dumps(order), file=self._server.stdin, flush=True)
        return Forked(int(self._server.stdout.readline()), status)

    def close(self) -> None:
        self._server.communicate()


def _run(order: dict) -> None:
    """What a new process would do from here on; it ends as that would, with what was registered for its exit."""
    import jax

    from pixjax.cli import main

    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    jax.config.update("jax_num_cpu_devices", int(os.environ["JAX_NUM_CPU_DEVICES"]))
    file, nothing = os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (nothing, 1), (file, 2)):
        os.dup2(source, target)
    sys.argv = [order["script"] or "pixjax", *order["arguments"]]
    if order["script"]:
        runpy.run_path(order["script"], run_name="__main__")
    sys.exit(main(order["arguments"]))


def _bury(*_) -> None:
    """Ends the processes that waited for a command, once they have."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve() -> None:
    import pixjax.commands.train
    import pixjax.training.train  # noqa: F401

    gc.freeze()  # what the processes share is neither looked through by each of them nor copied for that
    signal.signal(signal.SIGCHLD, _bury)
    for line in sys.stdin:
        order = json.loads(line)
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child = os.fork()
        if not child:
            _run(order)
        print(child, flush=True)
        sys.stdout.close()
        status = pathlib.Path(order["status"])
        whole = status.with_suffix(".part")
        whole.write_text(str(os.waitpid(child, 0)[1]))
        whole.rename(status)
        os._exit(0)


if __name__ == "__main__":
    _serve()

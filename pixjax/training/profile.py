"""A profile of some steps of a run."""

import pathlib
import shutil
import tempfile

import jax
from etils import epath

from pixjax.errors import InputError
from pixjax.paths import is_remote


class Profile:
    """Records the steps FIRST-LAST for TensorBoard's profiler. A context manager; does nothing for an empty range."""

    def __init__(self, steps: str, folder: epath.Path | pathlib.Path):
        first, dash, last = steps.partition("-")
        if steps and not (dash and first.isdigit() and last.isdigit() and int(first) <= int(last)):
            raise InputError(f"training.profile_steps={steps!r} is not a range of steps: write for instance 10-13")
        self._range = range(int(first), int(last) + 1) if steps else range(0)
        self._folder = folder
        self._running = False
        self._local: pathlib.Path | None = None

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before each step is dispatched."""
        if step in self._range and not self._running:
            if is_remote(self._folder):
                self._local = pathlib.Path(tempfile.mkdtemp(prefix="pixjax-profile-"))
            jax.profiler.start_trace(str(self._local or self._folder))
            self._running = True
        elif step not in self._range:
            self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            if self._local is not None:  # the profiler writes to disks alone
                for file in self._local.rglob("*"):
                    if file.is_file():
                        (self._folder / str(file.relative_to(self._local))).write_bytes(file.read_bytes())
                shutil.rmtree(self._local)

"""The log of a run: `metrics.jsonl`, TensorBoard, and lines for a person, on stderr and in `log.txt`.

The terminal may go away or be full at any time: the run goes on, and says so in its log.
"""

import contextlib
import json
import logging
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping

from etils import epath
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pixjax.errors import InputError, RunError
from pixjax.streams import PATIENCE, safe
from pixjax.training.log_files import Curves, LineFile

METRICS_FILE = "metrics.jsonl"
LOG_FILE = "log.txt"


def _lines_up_to(path: epath.Path, step: int) -> list[str]:
    """The logged lines of the steps that a resumed run keeps; the others will be made again."""
    kept = []
    for line in path.read_bytes().decode(errors="replace").splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            break  # the run was killed in the middle of a line
    return kept


class _Forwarder(logging.Handler):
    def __init__(self, tell: Callable[[str], None]):
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


class Reporter:
    """Writes a run's metrics from the step it starts at, and all that it says. A context manager.

    What the package's loggers tell meanwhile goes the same way.
    """

    def __init__(
        self,
        workdir: epath.Path,
        *,
        start_step: int,
        steps: int,
        batch_size: int,
        flops_per_canvas: float = 0,
        peak_flops: float = 0,
        write: bool = True,
    ):
        self._write = write
        self._use_per_rate = flops_per_canvas / peak_flops if peak_flops else None
        self._start_step, self._steps, self._batch_size = start_step, steps, batch_size
        self._last = (start_step, time.monotonic(), 0.0)
        path = workdir / METRICS_FILE
        self._metrics = LineFile(path, _lines_up_to(path, start_step) if write else ())
        self._log = LineFile(workdir / LOG_FILE, _lines_of(workdir / LOG_FILE) if write else ())
        self._curves = Curves(workdir / "tensorboard", start_step=start_step)
        self._terminal = safe(sys.stderr, patience=PATIENCE)
        self._has_terminal = True
        self._forwarder = _Forwarder(self.message)
        self._console = Console(file=self._terminal)  # type: ignore[arg-type]
        columns = (
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._progress = Progress(*columns, console=self._console, disable=not (write and self._console.is_terminal))

    def __enter__(self) -> "Reporter":
        if self._write:
            self._metrics.rewrite()
            with contextlib.suppress(OSError):
                self._log.rewrite()
        logging.getLogger("pixjax").addHandler(self._forwarder)
        self._task = self._progress.add_task("", total=self._steps, completed=self._start_step)
        self._progress.start()
        return self

    def __exit__(self, _kind, error: BaseException | None, _trace) -> None:
        self._progress.stop()
        logging.getLogger("pixjax").removeHandler(self._forwarder)
        if isinstance(error, InputError | RunError | KeyboardInterrupt):
            self._note(f"ended: {str(error) or 'interrupted'}")
        elif error is not None:
            self._note("".join(traceback.format_exception(error)).rstrip())
        # What the disk does not take must not hide why the run ends.
        for finish in (self._metrics.flush, self._log.flush) if self._write else ():
            with contextlib.suppress(OSError):
                finish()
        with contextlib.suppress(OSError):
            self._curves.close()

    def message(self, text: str) -> None:
        if self._write:
            self._console.print(Text(text), soft_wrap=True)  # paths have brackets and colons, which are no markup
            self._note(text)

    def note(self, text: str) -> None:
        """Into the log alone."""
        self._note(text)

    def _note(self, text: str) -> None:
        """Into the log, which a failing disk takes later."""
        if not self._write:
            return
        lines = [text]
        if self._has_terminal and (reason := self._terminal.reason):
            self._has_terminal = False
            lines.append(
                f"stderr can no longer be written to ({reason}): training goes on without it and says all here"
            )
        for line in lines:
            with contextlib.suppress(OSError):
                self._log.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")

    def flush(self) -> None:
        """Before a checkpoint is saved: a run that goes on from it makes no line of before again.

        Raises `OSError` where a store does not take the lines; a disk has taken them, or takes them later.
        """
        if not self._write:
            return
        self._metrics.flush()
        self._curves.flush()
        self._log.flush()

    def advance(self, step: int) -> None:
        self._progress.update(self._task, completed=step)

    def log(self, step: int, metrics: Mapping[str, float], *, waited: float) -> None:
        """One line in the file, one point in each TensorBoard curve, one line for the reader.

        `waited` is the time spent waiting for data since the start, in seconds.
        """
        now = time.monotonic()
        last_step, last_time, last_waited = self._last
        self._last = (step, now, waited)
        passed = max(now - last_time, 1e-9)
        rate = (step - last_step) / passed
        if not self._write:
            return
        values = {
            **metrics,
            "canvases_per_second": rate * self._batch_size,
            "data/wait_share": (waited - last_waited) / passed,
        }
        if self._use_per_rate is not None:
            values["mfu"] = values["canvases_per_second"] * self._use_per_rate
        line = {"step": step} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        try:
            self._metrics.append(json.dumps(line))
            self._curves.write(step, {name: value for name, value in values.items() if math.isfinite(value)})
        except OSError as error:
            self.message(f"step {step} could not be logged, its line is kept for later ({error})")
        text = summary_line(values)
        left = (self._steps - step) / rate if rate else math.inf
        whole = f"step {step}/{self._steps}  {text}  {_duration(left)} left"
        self._progress.update(self._task, completed=step, description=text)
        if self._progress.disable:
            self._terminal.write(f"{whole}\n")
        self._note(whole)


def _lines_of(path: epath.Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").splitlines()
    except OSError:
        return []


def summary_line(values: Mapping[str, float]) -> str:
    """The few numbers that tell whether a run goes well."""
    parts = [f"loss {values['loss']:.4f}"]
    parts += [f"{name} {values[f'loss/{name}']:.4f}" for name in ("text", "image") if f"loss/{name}" in values]
    if (accuracy := values.get("token_accuracy/text")) is not None:
        parts.append(f"tokens {100 * accuracy:.1f}%")
    parts.append(f"{values['canvases_per_second']:.3g} canvases/s")
    if (mfu := values.get("mfu")) is not None:
        parts.append(f"MFU {100 * mfu:.0f}%")
    return "  ".join(parts)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"

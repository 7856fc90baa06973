"""Where the metrics go: `metrics.jsonl`, TensorBoard, and one line that a person reads."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Mapping

from etils import epath
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pixjax.training.curves import Curves

METRICS_FILE = "metrics.jsonl"


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


class Reporter:
    """Writes a run's metrics from the step it starts at. A context manager."""

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
        self._path = workdir / METRICS_FILE
        self._lines = _lines_up_to(self._path, start_step) if write else []
        self._unwritten = 0  # lines at the end that a failing disk did not take
        self._curves = Curves(workdir / "tensorboard", start_step=start_step)
        self._console = Console(stderr=True)
        columns = (
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._progress = Progress(*columns, console=self._console, disable=not (write and self._console.is_terminal))

    def __enter__(self) -> "Reporter":
        if self._write:
            self._rewrite()
        self._task = self._progress.add_task("", total=self._steps, completed=self._start_step)
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()
        with contextlib.suppress(OSError):  # what the disk does not take must not hide why the run ends
            self._curves.close()

    def message(self, text: str) -> None:
        if self._write:
            self._console.print(Text(text), soft_wrap=True)  # paths have brackets and colons, which are no markup

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
        self._lines.append(json.dumps(line))
        try:
            self._write_lines()
            self._curves.write(step, {name: value for name, value in values.items() if math.isfinite(value)})
        except OSError as error:
            self.message(f"step {step} could not be logged, its line is kept for later ({error})")
        text = summary_line(values)
        self._progress.update(self._task, completed=step, description=text)
        if self._progress.disable:
            left = (self._steps - step) / rate if rate else math.inf
            print(f"step {step}/{self._steps}  {text}  {_duration(left)} left", file=sys.stderr, flush=True)

    def _write_lines(self) -> None:
        """Appends the last line to the file. What a full disk did not take is written with a later one."""
        self._unwritten += 1
        if "://" in str(self._path) or self._unwritten > 1:  # object stores cannot append; and a line may be torn
            self._rewrite()
        else:
            with self._path.open("a") as file:
                file.write(f"{self._lines[-1]}\n")
        self._unwritten = 0

    def _rewrite(self) -> None:
        """All lines, beside the file and then in its place: one that fails half-way leaves the old one."""
        new = self._path.with_name(f"{METRICS_FILE}.new")
        new.write_text("".join(f"{line}\n" for line in self._lines))
        new.replace(self._path)


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

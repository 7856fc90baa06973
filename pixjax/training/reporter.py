"""Where the metrics go: `metrics.jsonl`, TensorBoard, and one line that a person reads."""

import json
import math
import sys
import time
from collections.abc import Mapping

from etils import epath
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

METRICS_FILE = "metrics.jsonl"


def _lines_up_to(path: epath.Path, step: int) -> list[str]:
    """The logged lines of the steps that a resumed run keeps; the others will be made again."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError):
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
        self._summary = SummaryWriter(str(workdir / "tensorboard"), purge_step=start_step) if write else None
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
            self._path.write_text("".join(f"{line}\n" for line in self._lines))
        self._task = self._progress.add_task("", total=self._steps, completed=self._start_step)
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()
        if self._summary is not None:
            self._summary.close()

    def message(self, text: str) -> None:
        if self._write:
            self._console.print(text, highlight=False, soft_wrap=True)

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
        if not self._write or self._summary is None:
            return
        values = {
            **metrics,
            "canvases_per_second": rate * self._batch_size,
            "data/wait_share": (waited - last_waited) / passed,
        }
        if self._use_per_rate is not None:
            values["mfu"] = values["canvases_per_second"] * self._use_per_rate
        line = {"step": step} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._write_line(json.dumps(line))
        for name, value in values.items():
            if math.isfinite(value):
                self._summary.add_scalar(name, value, step)
        text = summary_line(values)
        self._progress.update(self._task, completed=step, description=text)
        if self._progress.disable:
            left = (self._steps - step) / rate if rate else math.inf
            print(f"step {step}/{self._steps}  {text}  {_duration(left)} left", file=sys.stderr, flush=True)

    def _write_line(self, line: str) -> None:
        """Appends to the file. What a full disk does not take is written with a later line."""
        self._lines.append(line)
        self._unwritten += 1
        try:
            if "://" in str(self._path) or self._unwritten > 1:  # object stores cannot append; or a line may be torn
                self._path.write_text("".join(f"{line}\n" for line in self._lines))
            else:
                with self._path.open("a") as file:
                    file.write(f"{line}\n")
        except OSError as error:
            if self._unwritten == 1:
                self.message(f"{self._path} cannot be written, its lines are kept for later ({error})")
        else:
            self._unwritten = 0


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

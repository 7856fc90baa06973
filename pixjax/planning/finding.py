"""Findings of checks, each of which stands alone: whatever one stumbles over, the next is made."""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pixjax.errors import InputError, RunError

Status = Literal["ok", "warning", "failure"]

_PATIENCE_SECONDS = 60.0  # with one check


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """`failure` is what a run would fail with, `warning` what it would suffer from."""

    status: Status = "ok"
    found: str
    remedy: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the same in bytes, FLOP/s, canvases/s


def isolated(check: Callable[[], Finding], patience: float = _PATIENCE_SECONDS) -> Finding:
    """Its finding; a failure where it raises, and a warning where it does not come back in so many seconds."""
    findings: list[Finding] = []

    def run() -> None:
        try:
            findings.append(check())
        except Exception as error:  # of whatever is checked, which may fail in any way
            findings.append(_of_error(error))

    thread = threading.Thread(target=run, daemon=True)  # one that hangs does not keep the process
    thread.start()
    thread.join(patience)
    if findings:
        return findings[0]
    return Finding(
        status="warning",
        found=f"no answer in {patience:.0f} s",
        remedy="a run would wait as long: look for a path that hangs, or data to be prepared first (pixjax prepare)",
    )


def _of_error(error: Exception) -> Finding:
    text = " ".join(str(error).split())
    if isinstance(error, InputError | RunError):  # "what is wrong: what to do"
        problem, _, remedy = text.rpartition(": ")
        return Finding(status="failure", found=problem or remedy, remedy=remedy if problem else "")
    if isinstance(error, OSError) and error.filename is not None:
        return Finding(status="failure", found=f"{error.filename}: {error.strerror}", remedy="choose another path")
    return Finding(status="failure", found=f"{type(error).__name__}: {text}"[:300])

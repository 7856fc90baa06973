"""How canvases came about: the clean predictions on the way, as a filmstrip and as an animation."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixjax.codec import to_uint8
from pixjax.errors import InputError
from pixjax.sampling.generate import Generated
from pixjax.sampling.pictures import grid

EVENLY = 8  # frames, when it is not said which
_MOST = 16  # canvases that are shown
_FRAME_MS, _LAST_MS = 150, 1500


def chosen_steps(text: str, steps: int) -> tuple[int, ...]:
    """`even`, or steps as in `0,10,49`, in order. Raises `InputError` for anything else."""
    if text == "even":
        return tuple(dict.fromkeys(int(step) for step in np.linspace(0, steps - 1, EVENLY).round()))
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise InputError(f"--trajectory={text} names no steps: write for instance 0,10,{steps - 1}, or nothing")
    return tuple(sorted({int(step) for step in text.split(",")}))


def filmstrip(made: Generated, steps: Sequence[int]) -> Image.Image:
    """A row for each of the first canvases, a column for each step."""
    shown = to_uint8(made.frames[:_MOST])
    headings = [f"step {step}" for step in steps]
    return grid(shown.reshape(-1, *shown.shape[2:]), columns=len(steps), headings=headings)


def write_animation(path: pathlib.Path, made: Generated) -> None:
    """The first canvases side by side, step after step, as a GIF that repeats."""
    shown = np.moveaxis(to_uint8(made.frames[:_MOST]), 1, 0)
    first, *rest = [grid(canvases, columns=min(8, len(canvases))) for canvases in shown]
    durations = [*[_FRAME_MS] * len(rest), _LAST_MS]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)

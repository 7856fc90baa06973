"""Pictures of canvases: a grid of samples, a contact sheet of noise and what the model makes of it, and the clean
predictions on the way as a filmstrip and as an animation.
"""

import pathlib
import re
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import to_float, to_uint8
from pixjax.diffusion import noisy
from pixjax.errors import InputError
from pixjax.models import tell
from pixjax.sampling.generate import Generated

TILE = 128  # pixels that a canvas is shown with, at least
MARGIN = 6
SHEET_TIMES = (0.2, 0.4, 0.6, 0.8)

EVENLY = 8  # frames, when it is not said which
_MOST = 16  # canvases that are shown
_FRAME_MS, _LAST_MS = 150, 1500


def grid(canvases: UInt8[np.ndarray, "num height width 3"], columns: int, headings: Sequence[str] = ()) -> Image.Image:
    """Canvases row by row, each pixel a sharp square."""
    num, height, width = canvases.shape[:3]
    scale = max(1, -(-TILE // width))
    top = 16 if headings else 0
    rows = -(-num // columns)
    cell_height, cell_width = height * scale + MARGIN, width * scale + MARGIN
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, rows * cell_height + MARGIN + top), "white")
    draw = ImageDraw.Draw(sheet)
    for column, heading in enumerate(headings):
        draw.text((MARGIN + column * cell_width, MARGIN // 2), heading, fill="black")
    for index, canvas in enumerate(canvases):
        row, column = divmod(index, columns)
        tile = Image.fromarray(canvas).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        sheet.paste(tile, (MARGIN + column * cell_width, MARGIN + top + row * cell_height))
    return sheet


def contact_sheet(
    denoiser: Denoiser, canvas: UInt8[np.ndarray, "num height width 3"], modality, seed: int = 0
) -> Image.Image:
    """A row a canvas: as it is, then for several t its noisy version and what the model makes of it."""
    x = to_float(jnp.asarray(canvas))
    noise = jax.random.normal(jax.random.key(seed), x.shape)
    columns, headings = [canvas], ["data"]
    of_each, takes_type = jnp.asarray(modality, jnp.int32), denoiser.config.model.uses_condition
    for time in SHEET_TIMES:
        t = jnp.full(len(canvas), time)
        z = noisy(x, noise, t, denoiser.config.diffusion.noise_scale)
        z, type_id = tell(denoiser.config, denoiser.codec, z, of_each)
        x_hat = denoiser.denoise(z, t, modality=type_id if takes_type else None)
        columns += [np.asarray(to_uint8(image)) for image in (z, x_hat)]
        headings += [f"noisy, t = {time}", "denoised"]
    return grid(np.stack(columns, axis=1).reshape(-1, *canvas.shape[1:]), len(columns), headings)


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

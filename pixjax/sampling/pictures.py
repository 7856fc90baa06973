"""Pictures of canvases: a grid of samples, and a contact sheet of noise and what the model makes of it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import to_float, to_uint8
from pixjax.diffusion import noisy
from pixjax.models import type_condition

TILE = 128  # pixels that a canvas is shown with, at least
MARGIN = 6
SHEET_TIMES = (0.2, 0.4, 0.6, 0.8)


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
    type_id = (
        type_condition(denoiser.config.model, jnp.asarray(modality)) if denoiser.config.model.uses_condition else None
    )
    for time in SHEET_TIMES:
        t = jnp.full(len(canvas), time)
        z = noisy(x, noise, t, denoiser.config.diffusion.noise_scale)
        columns += [np.asarray(to_uint8(image)) for image in (z, denoiser.denoise(z, t, modality=type_id))]
        headings += [f"noisy, t = {time}", "denoised"]
    return grid(np.stack(columns, axis=1).reshape(-1, *canvas.shape[1:]), len(columns), headings)

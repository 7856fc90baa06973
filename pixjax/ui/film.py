"""A film of one sample, from noise to canvas: at each step the canvas, its text, and the token of a pixel."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, CanvasCodec, to_uint8
from pixjax.diffusion import WHOLE
from pixjax.report.blocks import ShadedText, ShadedTexts
from pixjax.report.html import escape, shaded_texts_html, token_text
from pixjax.sampling.request import SampleRequest
from pixjax.sampling.sample import prepare, run_request
from pixjax.sampling.samples import token_names, trim_padding
from pixjax.sampling.text_in_order import UNWRITTEN

SIDE = 512  # pixels that a canvas is shown with, about


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """Clean predictions of one canvas on the way from noise, about [-1, 1]; the last is the sample itself."""

    codec: CanvasCodec
    x_hat: Float[np.ndarray, "frames height width 3"]
    modality: Int[np.ndarray, " frames"]
    step: tuple[int, ...]  # from 0
    time: tuple[float, ...]
    steps: int  # in all
    in_order: bool = False  # a text that is written block by block: what is not decided yet has the colour UNWRITTEN

    def __len__(self) -> int:
        return len(self.step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Token:
    """What a pixel belongs to. `id` is None where a pixel carries no token: the marker, an image, what is left over;
    and where its token is not decided yet, in a text that is written in order.
    """

    x: int
    y: int
    color: tuple[int, int, int]
    number: int | None = None  # in the order of reading, from 0
    id: int | None = None
    name: str = ""
    margin: float | None = None
    pixels: tuple[tuple[int, int], ...] = ()  # (x, y) of its cell
    legal: tuple[tuple[int, int, int], ...] = ()  # the colours that the token is painted with, in the same order


def make_film(denoiser: Denoiser, request: SampleRequest) -> Film:
    """Samples one canvas. Prompts of any length, and seeds, share one compiled program.

    Raises:
      InputError: as `prepare` does, before anything is computed.
    """
    prepared = prepare(denoiser, dataclasses.replace(request, num=1, trajectory="even"))
    (made,) = run_request(denoiser, prepared, context_canvases=denoiser.config.model.context_canvases).pages
    modality = np.full(len(prepared.trajectory), made.modality[0])
    if denoiser.codec.marker:
        modality = denoiser.codec.decode_modality(made.frames[0])[0]
    return Film(
        codec=denoiser.codec,
        x_hat=made.frames[0],
        modality=modality,
        step=prepared.trajectory,
        time=tuple(made.frame_times[0].tolist()),
        steps=prepared.settings.steps,
        in_order=prepared.settings.blocks.text != WHOLE,
    )


def num_written(film: Film, frame: int) -> int:
    """Tokens that are decided: all, but in a frame of a text that is written in reading order."""
    if not film.in_order:
        return film.codec.capacity
    cells = film.x_hat[frame].reshape(-1, 3)[film.codec.cell_index]
    return int(np.sum((cells != UNWRITTEN).any(axis=(1, 2))))


def tokens_of(film: Film, frame: int) -> tuple[Int[np.ndarray, " tokens"], Float[np.ndarray, " tokens"]]:
    """The ids that a frame is read as, as far as its text is written, and their margins; of an image none."""
    if film.modality[frame] != TEXT:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    ids, margin = film.codec.decode_ids(film.x_hat[frame])
    content = len(trim_padding(ids[: num_written(film, frame)], film.codec))
    return ids[:content], margin[:content]


def token_at(film: Film, frame: int, x: int, y: int) -> Token:
    """The token that the pixel in column x and row y is a part of."""
    codec, canvas = film.codec, to_uint8(film.x_hat[frame])
    here = Token(x=x, y=y, color=_color(canvas[y, x]))
    numbers, _ = np.nonzero(codec.cell_index == y * codec.canvas_size + x)
    if film.modality[frame] != TEXT or not len(numbers):
        return here
    ids, margin = codec.decode_ids(film.x_hat[frame])
    number = int(numbers[0])
    if number >= num_written(film, frame):
        return dataclasses.replace(here, number=number)
    chosen = ids[number : number + 1]
    legal = to_uint8(codec.colors[chosen[0]])
    return dataclasses.replace(
        here,
        number=number,
        id=int(chosen[0]),
        name=token_names(codec, chosen)[0],
        margin=float(margin[number]),
        pixels=tuple((int(p) % codec.canvas_size, int(p) // codec.canvas_size) for p in codec.cell_index[number]),
        legal=tuple(map(_color, legal)),
    )


def _color(levels: UInt8[np.ndarray, "3"]) -> tuple[int, int, int]:
    red, green, blue = levels.tolist()
    return red, green, blue


def picture(film: Film, frame: int, token: Token | None = None) -> Image.Image:
    """The canvas enlarged, each pixel a sharp square; those of a token's cell, or the pixel alone, are outlined."""
    scale = scale_of(film)
    size = film.codec.canvas_size * scale
    image = Image.fromarray(to_uint8(film.x_hat[frame])).resize((size, size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for x, y in (token.pixels or ((token.x, token.y),)) if token else ():
        for inset, color in ((0, "white"), (1, "black")):  # one of them is seen on any colour
            corners = (x * scale + inset, y * scale + inset, (x + 1) * scale - 1 - inset, (y + 1) * scale - 1 - inset)
            draw.rectangle(corners, outline=color)
    return image


def scale_of(film: Film) -> int:
    """Pixels of the picture for one of the canvas."""
    return max(3, SIDE // film.codec.canvas_size)


def problem_html(error: Exception) -> str:
    """The line that the command would end with."""
    return f'<p class="problem" role="alert">{escape(str(error))}</p>'


def text_html(film: Film, frame: int) -> str:
    """The text that a frame is read as, each token shaded by its margin, under the step and the time."""
    done = f"predicted at t = {film.time[frame]:.3g}"
    if film.in_order and film.modality[frame] == TEXT:
        done = f"{num_written(film, frame) / film.codec.capacity:.0%} written"
    when = f"step {film.step[frame] + 1} of {film.steps}, {done}"
    if film.modality[frame] != TEXT:
        return f'<p class="when">{when}: an image, not to be read</p>'
    ids, margins = tokens_of(film, frame)
    if not len(ids):
        return f'<p class="when">{when}: an empty text</p>'
    caption = f"{when}: {len(ids):,} tokens, mean margin {margins.mean():.2f}"
    return shaded_texts_html(ShadedTexts((ShadedText(token_names(film.codec, ids), margins.tolist(), caption),)))


def token_html(token: Token | None) -> str:
    """The token of a pixel, its cell pixel by pixel."""
    if token is None:
        return '<p class="when">Click a pixel of the canvas to see its token.</p>'
    rows = [("pixel", f"x {token.x}, y {token.y}"), ("colour", _levels(token.color))]
    if token.id is None or token.margin is None:
        nowhere = "none: a pixel of an image, of the marker, or left over"
        rows.append(("token", nowhere if token.number is None else "not written yet"))
    else:
        rows += [
            ("token", token_text(token.name)),
            ("id", str(token.id)),
            ("place in the text", str(token.number)),
            ("margin", f"{token.margin:.2f}"),
        ]
        rows += [
            (f"cell, x {x}, y {y}", f"painted as {_levels(color)}")
            for (x, y), color in zip(token.pixels, token.legal, strict=True)
        ]
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<table class="token">{body}</table>'


def _levels(color: tuple[int, int, int]) -> str:
    return " ".join(map(str, color))

"""What the page says of a frame and of a token, as HTML: escaped, whatever the model wrote."""

from pixjax.codec import TEXT
from pixjax.report.blocks import ShadedText, ShadedTexts
from pixjax.report.html import shaded_texts_html
from pixjax.report.text import escape, token_text
from pixjax.sampling.samples import token_names
from pixjax.ui.film import Film, Token, tokens_of


def problem_html(error: Exception) -> str:
    """The line that the command would end with."""
    return f'<p class="problem" role="alert">{escape(str(error))}</p>'


def text_html(film: Film, frame: int) -> str:
    """The text that a frame is read as, each token shaded by its margin, under the step and the time."""
    when = f"step {film.step[frame] + 1} of {film.steps}, predicted at t = {film.time[frame]:.3g}"
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
        rows.append(("token", "none: a pixel of an image, of the marker, or left over"))
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

"""The page: which field feeds what. All that it shows is made in `film.py`."""

import importlib.resources
import os
from collections.abc import Sequence
from typing import Any

import gradio as gr

from pixjax.errors import InputError, RunError
from pixjax.report.html import escape, visible
from pixjax.sampling.request import Option
from pixjax.ui.controls import PAGE, Averages, Controls, controls_of, request_of
from pixjax.ui.film import Film, make_film, picture, problem_html, scale_of, text_html, token_at, token_html

_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def style() -> str:
    """The style sheet of the page; the shades are those of the report of `pixjax evaluate`."""
    report = importlib.resources.files("pixjax.report")
    here = importlib.resources.files(__package__)
    sheets = (report / "shades.css", here / "page.css")
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def build_page(averages: Averages, title: str) -> gr.Blocks:
    """Raises `InputError` for a model that cannot be sampled."""
    controls = controls_of(averages.current)
    with gr.Blocks(title="pixjax", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.HTML(f"<h1>{escape(title)}</h1>")
        film, pixel = gr.State(), gr.State()
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                fields = _fields([option for option in PAGE if not _is_narrow(option)], controls)
                go = gr.Button("Sample", variant="primary", elem_id="go")
                problem = gr.HTML(elem_id="problem")
                fields |= _narrow_fields(controls)
            with gr.Column(scale=3, min_width=340):
                canvas = gr.Image(
                    label="Canvas", show_label=False, format="png", interactive=False, buttons=[], elem_id="canvas"
                )
                slider = gr.Slider(0, 1, value=0, step=1, label="From noise to canvas", interactive=False, buttons=[],
                                   elem_id="slider")  # fmt: skip
                token = gr.HTML(token_html(None), elem_id="token")
            with gr.Column(scale=3, min_width=340):
                text = gr.HTML(elem_id="text")
        view = [canvas, text, token]

        def sample(*values):
            filled = dict(zip(fields, values, strict=True))
            try:
                denoiser = averages(filled.pop("average"))
                made = make_film(denoiser, request_of(filled, controls.sampling))
            except (InputError, RunError, OSError) as error:  # what is on the page stays there
                return problem_html(error), *(gr.skip() for _ in shown)
            last = len(made) - 1
            moved = gr.Slider(maximum=max(last, 1), value=last, interactive=last > 0)
            return "", made, None, moved, *_view(made, last, None)

        def show(made, frame, at):
            return _view(made, frame, at)

        def point(made, frame, event: gr.SelectData):
            x, y = (int(place) // scale_of(made) for place in event.index)
            return (x, y), *_view(made, frame, (x, y))

        shown = [film, pixel, slider, *view]
        triggers = [go.click, *(field.submit for field in fields.values() if isinstance(field, gr.Textbox | gr.Number))]
        gr.on(triggers, sample, [*fields.values()], [problem, *shown], api_visibility="private", trigger_mode="once")
        slider.input(show, [film, slider, pixel], view, trigger_mode="always_last", **_QUIETLY)
        canvas.select(point, [film, slider], [pixel, *view], **_QUIETLY)
    return page


def _view(film: Film, frame: int, pixel: tuple[int, int] | None) -> tuple[Any, str, str]:
    token = token_at(film, frame, *pixel) if pixel else None
    return picture(film, frame, token), text_html(film, frame), token_html(token)


def _fields(asked: Sequence[Option], controls: Controls) -> dict[str, Any]:
    return {option.name: _field(option, controls) for option in asked}


def _field(option: Option, controls: Controls) -> Any:
    """The field of an option, disabled with the reason where the model cannot be asked for it."""
    reason = controls.reasons.get(option.name, "")
    value = getattr(controls.sampling, option.name, option.default)
    named: dict[str, Any] = {"label": option.asked.page, "elem_id": option.name}
    if os.PathLike in option.types:  # an image field would decode it before it can be refused
        return gr.File(type="filepath", height=110, visible=not reason, **named)
    if option.name == "modality":
        named["info"] = visible(reason)
        return gr.Radio(controls.modalities, value=controls.modalities[0], **named)
    if option.asked.choices:
        return gr.Dropdown(option.asked.choices, value=value, min_width=120, **named)
    named |= {
        "interactive": not reason,
        "info": visible(reason) or f"{option.asked.help[0].upper()}{option.asked.help[1:]}.",
    }
    if _is_narrow(option):
        return gr.Number(value=value, precision=0 if option.types[0] is int else None, min_width=120, **named)
    return gr.Textbox(lines=1 if option.asked.example else 2, placeholder=option.asked.example or None, **named)


def _is_narrow(option: Option) -> bool:
    """Whether two fields stand side by side: numbers, and choices that are a list to open."""
    return option.types[0] in (int, float) or (bool(option.asked.choices) and option.name != "modality")


def _narrow_fields(controls: Controls) -> dict[str, Any]:
    """Two in a row, the average as the last."""
    narrow, fields = [option for option in PAGE if _is_narrow(option)], dict[str, Any]()
    for first in range(0, len(narrow), 2):
        with gr.Row():
            fields |= _fields(narrow[first : first + 2], controls)
    fields["average"] = gr.Dropdown(
        controls.averages, value=controls.averages[0], label="Average (ema)", min_width=120, elem_id="average"
    )
    return fields

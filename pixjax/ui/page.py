"""The page: which field feeds what. All that it shows is made in `film.py`."""

import importlib.resources
from typing import Any

import gradio as gr

from pixjax.errors import InputError, RunError
from pixjax.models import NO_LABEL
from pixjax.report.html import escape, visible
from pixjax.ui.controls import Averages, Controls, Form, controls_of
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
                fields = _what(controls)
                go = gr.Button("Sample", variant="primary", elem_id="go")
                problem = gr.HTML(elem_id="problem")
                fields |= _how(controls)
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
                made = make_film(denoiser, Form(**filled).request(controls.sampling))
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
        triggers = [go.click, *(fields[name].submit for name in ("prompt", "infill", "seed", "steps", "guidance"))]
        gr.on(triggers, sample, [*fields.values()], [problem, *shown], api_visibility="private", trigger_mode="once")
        slider.input(show, [film, slider, pixel], view, trigger_mode="always_last", **_QUIETLY)
        canvas.select(point, [film, slider], [pixel, *view], **_QUIETLY)
    return page


def _view(film: Film, frame: int, pixel: tuple[int, int] | None) -> tuple[Any, str, str]:
    token = token_at(film, frame, *pixel) if pixel else None
    return picture(film, frame, token), text_html(film, frame), token_html(token)


def _what(controls: Controls) -> dict[str, Any]:
    """Fields of a `Form`, by their names: what is asked for."""
    return {
        "modality": gr.Radio(
            controls.modalities, value=controls.modalities[0], label="Modality", info=visible(controls.no_modality),
            elem_id="modality",
        ),
        "prompt": gr.Textbox(
            label="Prompt", lines=2, interactive=not controls.no_prompt, elem_id="prompt",
            info=visible(controls.no_prompt) or "What to answer, or to go on from.",
        ),
        "prompt_image": gr.File(  # an image field would decode it before it can be refused
            label="Prompt image", type="filepath", height=110, visible=not controls.no_prompt,
            elem_id="prompt_image",
        ),
        "infill": gr.Textbox(
            label="Fill in", placeholder="The ____ sat on the ____", interactive=not controls.no_infill,
            info=visible(controls.no_infill) or "Each _ is one unknown token, and so is all after the end.",
            elem_id="infill",
        ),
    }  # fmt: skip


def _how(controls: Controls) -> dict[str, Any]:
    """The other fields of a `Form`, and the average."""
    sampling, fields = controls.sampling, dict[str, Any]()
    with gr.Row():
        fields["seed"] = gr.Number(value=0, label="Seed", precision=0, min_width=120, elem_id="seed")
        fields["steps"] = gr.Number(value=sampling.steps, label="Steps", precision=0, min_width=120, elem_id="steps")
    with gr.Row():
        fields["sampler"] = gr.Dropdown(
            controls.samplers, value=sampling.sampler, label="Sampler", min_width=120, elem_id="sampler"
        )
        fields["average"] = gr.Dropdown(
            controls.averages, value=controls.averages[0], label="Average (ema)", min_width=120, elem_id="average"
        )
    with gr.Row():
        fields["guidance"] = gr.Number(
            value=sampling.guidance, label="Guidance", interactive=not controls.no_guidance, min_width=120,
            info=visible(controls.no_guidance) or "1 is none.", elem_id="guidance",
        )  # fmt: skip
        fields["label"] = gr.Number(
            value=NO_LABEL, label="Label", precision=0, interactive=not controls.no_label, min_width=120,
            info=visible(controls.no_label) or f"Of a natural image; {NO_LABEL} is none.", elem_id="label",
        )  # fmt: skip
    return fields

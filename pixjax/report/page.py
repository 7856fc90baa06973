"""A report as a single HTML file. Its Content-Security-Policy lets it load nothing, and run no script but its own."""

import base64
import hashlib
import importlib.resources
import itertools

from etils import epath

from pixjax.paths import write_whole
from pixjax.report.blocks import (
    Block,
    Chart,
    Data,
    Figures,
    Gallery,
    Inspector,
    Prose,
    Report,
    Section,
    ShadedTexts,
    Table,
    Trajectory,
)
from pixjax.report.chart import chart_html, color_rules, plot_rule
from pixjax.report.html import (
    column_rules,
    data_html,
    escape,
    figures_html,
    gallery_html,
    inspector_html,
    prose_html,
    shaded_texts_html,
    table_html,
    trajectory_html,
)


def write_report(path: epath.PathLike, report: Report) -> None:
    """Writes the page, whole or not at all, over what was there; makes the folder."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render(report).encode())


def render(report: Report) -> str:
    """The page. It has no `style` attributes, which its policy would not let pass."""
    here = importlib.resources.files(__package__)
    script = (here / "page.js").read_text(encoding="utf-8")
    sheets = ("shades.css", "page.css")  # what the page says of printing comes last, and counts
    style = color_rules() + "".join((here / sheet).read_text(encoding="utf-8") for sheet in sheets)
    style += column_rules() + plot_rule()
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    links = (f'<a href="#{_anchor(i)}">{escape(section.title)}</a>' for i, section in enumerate(report.sections))
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f'<link rel="icon" href="data:,">\n<title>{escape(report.title)}</title>\n',
            f"<style>{style}</style>\n</head>\n<body>\n",
            f"<header><h1>{escape(report.title)}</h1><p>{escape(report.subtitle)}</p></header>\n",
            f'<nav aria-label="Sections">{"".join(links)}</nav>\n<main>\n',
            *(_section_html(section, _anchor(i)) for i, section in enumerate(report.sections)),
            f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _anchor(index: int) -> str:
    return f"section-{index + 1}"


def _section_html(section: Section, anchor: str) -> str:
    """Charts that follow each other stand side by side where there is room."""
    parts = [f'<section id="{anchor}" aria-labelledby="{anchor}-title">']
    parts.append(f'<h2 id="{anchor}-title">{escape(section.title)}</h2>')
    for charts, blocks in itertools.groupby(section.blocks, key=lambda block: isinstance(block, Chart)):
        content = "\n".join(_block_html(block) for block in blocks)
        parts.append(f'<div class="charts">\n{content}\n</div>' if charts else content)
    return "\n".join([*parts, "</section>\n"])


def _block_html(block: Block) -> str:
    match block:
        case Prose():
            return prose_html(block)
        case Figures():
            return figures_html(block)
        case Table():
            return table_html(block)
        case Chart():
            return chart_html(block)
        case Gallery():
            return gallery_html(block)
        case ShadedTexts():
            return shaded_texts_html(block)
        case Trajectory():
            return trajectory_html(block)
        case Inspector():
            return inspector_html(block)
        case Data():
            return data_html(block)

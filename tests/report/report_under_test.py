"""A report with every block, and a reader of the page that it becomes."""

import html.parser
import json

import numpy as np

from pixjax.report import (
    Chart,
    Data,
    Figure,
    Figures,
    Gallery,
    Inspector,
    Prose,
    Report,
    Section,
    Series,
    ShadedText,
    ShadedTexts,
    Table,
    Trajectory,
    render,
)
from pixjax.report.blocks import Block

HOSTILE = "x</script><img src=x onerror=alert(1)>\"'&\ud800\x00\x1b\u202e\u200b\U000e0041 é 像素 👩‍💻"
VOID = {"meta", "link", "img", "input"}
RANDOM = np.random.default_rng(0)
CANVASES = RANDOM.integers(0, 256, (3, 8, 8, 3), np.uint8)
FRAMES = RANDOM.integers(0, 256, (5, 2, 8, 8, 3), np.uint8)
CELLS = np.arange(1, 61).reshape(30, 2)  # raster, two pixels a token after a marker of one


def report_of(text: str, value: float | None = 0.5) -> Report:
    """Every block, with a text wherever one may stand and a value wherever a number may."""
    margins = np.array([0.25, np.nan if value is None else value, 1.0])
    sure = Series(text, [0, 1, 2], [1, value, 3], [0, value, 2], [2, value, 4])
    series = (sure, Series(text, [1, value], [value, 1]))
    blocks = (
        Prose(text),
        Figures((Figure(text, text, text),)),
        Table((text, text), ((text, text), ("row", text)), text, emphasised=(1,)),
        Chart(text, text, text, series, references=((text, 2.0), (text, value))),
        Gallery(CANVASES, (text, text, text), columns=2),
        ShadedTexts((ShadedText((text, "\n", text), margins, text),)),
        Trajectory(FRAMES, (text,) * 5, text, (text, text)),
        Inspector(CANVASES, (text,) * 3, CELLS, ((text, "b", text), (), ("c",)), (margins, (), (0.5,))),
        Data(text, {text: [text, value, np.float64(1), np.arange(3), {"deeper": (text,)}]}),
    )
    return Report(text, text, (Section(text, blocks), Section("second", (Prose(text),))))


def page_of(*blocks: Block) -> "Page":
    return Page(render(Report("title", "", (Section("section", blocks),))))


class Page(html.parser.HTMLParser):
    """The elements of a page in order, with their attributes and the text directly inside; they have to nest."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[int] = []
        self.feed(source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is given twice"
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data):
        if self._open:
            self.elements[self._open[-1]][2].append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return ["".join(text) for _, _, text in self.all(tag, **attributes)]

    def all(self, tag: str, **attributes: str):
        return [e for e in self.elements if e[0] == tag and attributes.items() <= e[1].items()]


def json_blocks(page: Page) -> list:
    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return [json.loads(text, parse_constant=refuse) for text in page.texts("script", type="application/json")]

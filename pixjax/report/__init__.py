"""A report as one HTML file that loads nothing: numbers, charts, canvases and decoded text."""

from pixjax.report.blocks import (
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
)
from pixjax.report.page import render, write_report
from pixjax.report.text import number

__all__ = [
    "Chart",
    "Data",
    "Figure",
    "Figures",
    "Gallery",
    "Inspector",
    "Prose",
    "Report",
    "Section",
    "Series",
    "ShadedText",
    "ShadedTexts",
    "Table",
    "Trajectory",
    "number",
    "render",
    "write_report",
]

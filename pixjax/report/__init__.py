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
from pixjax.report.html import number
from pixjax.report.page import render, write_report

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

"""The report: harmless whatever it holds, self-contained, true to its numbers and canvases."""

import base64
import functools
import hashlib
import io
import json
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from report_under_test import CANVASES, CELLS, FRAMES, HOSTILE, Page, json_blocks, page_of, report_of

from pixjax.report import (
    Chart,
    Gallery,
    Inspector,
    Report,
    Series,
    ShadedText,
    ShadedTexts,
    Table,
    Trajectory,
    number,
    render,
    write_report,
)
from pixjax.report.html import visible

PNG = "data:image/png;base64,"
INFINITE = (float("nan"), float("inf"), float("-inf"), None, np.float32("nan"))


def image_of(uri: str) -> np.ndarray:
    assert uri.startswith(PNG)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


# Any text, any number

TEXTS = st.text(
    st.characters() | st.characters(categories=("Cs", "Cc", "Cf", "Co", "Zl", "Zp")) | st.sampled_from("<>&\"'/!-"),
    max_size=12,
).map(lambda text: "x" + text.replace("\n", " "))  # an empty line parts paragraphs, as it should


def skeleton(page: Page):
    return [(tag, sorted(attributes)) for tag, attributes, _ in page.elements]


@functools.cache
def plain_skeleton():
    return skeleton(Page(render(report_of("x word"))))


@settings(max_examples=20, deadline=None)
@given(TEXTS)
@example(HOSTILE)
@example("x--><!--<script>")
def test_no_text_changes_the_structure_of_the_page(text):
    source = render(report_of(text)).encode().decode()  # it can be written
    page = Page(source)
    assert skeleton(page) == plain_skeleton()
    assert json_blocks(page)
    assert visible(text) in page.texts("p")
    assert not re.search(r"[^\n\t\x20-\x7e\x80-\U0010ffff]|[\x80-\x9f\ud800-\udfff\u202a-\u202e]", source)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 像素 \n\t", "plain é 像素 \n\t"),
        ("\x00\x1b\r\x7f", "␀␛␍␡"),
        ("\x85\u202e\u200b\ufeff\u2028", r"\u0085\u202e\u200b\ufeff\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041\uffff", r"\udb40\udc41\uffff"),
        ("👩‍💻", "👩‍💻"),
        ("\u200d x\u200d", r"\u200d x\u200d"),
    ],
)
def test_every_character_is_seen(text, shown):
    assert visible(text) == shown
    shown.encode()


@pytest.mark.parametrize("value", INFINITE)
def test_what_is_not_finite_is_a_dash_or_a_gap_and_leaves_json_whole(value):
    page = Page(render(report_of("x", value)))
    chart, _, inspector = json_blocks(page)
    assert [(series["x"], series["y"]) for series in chart["series"]] == [([0, 2], [1, 3]), ([], [])]
    assert inspector["margins"][0] == [0.25, None, 1]
    assert json.loads("".join(page.texts("pre")))["x"][1] is None
    drawing = base64.b64decode(page.all("img", alt="")[0][1]["src"].partition(",")[2]).decode()
    assert not re.search(r'="[^"]*(nan|inf)', drawing)
    assert "—" in page.texts("td")
    assert number(value) == "—"


def test_words_for_what_is_no_number_are_dashes():
    page = page_of(Table(("a", "b"), (("r", "NaN"), ("s", "-inf"))))
    assert page.texts("td") == ["—", "—"]


# One file, that loads nothing


def test_policy_allows_nothing_but_what_is_inside():
    page = Page(render(report_of(HOSTILE)))
    (policy,) = (attributes["content"] for _, attributes, _ in page.all("meta") if "http-equiv" in attributes)
    allowed = {name: values for name, *values in map(str.split, policy.split(";"))}

    def hash_of(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    (style,) = page.texts("style")
    (script,) = ("".join(text) for _, attributes, text in page.all("script") if not attributes)
    assert allowed == {
        "default-src": ["'none'"],
        "img-src": ["data:"],
        "style-src": [hash_of(style)],
        "script-src": [hash_of(script)],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes, _ in page.elements:
        for name, content in attributes.items():
            assert name != "style", "the policy would not let it pass"
            assert not name.startswith("on"), f"{tag} has a handler"
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                assert content.startswith(("data:", "#")), f"{tag} loads {content}"


def test_every_link_of_the_navigation_leads_to_a_section():
    page = Page(render(report_of("x")))
    links = [attributes["href"] for _, attributes, _ in page.all("a")]
    assert links == [f"#{attributes['id']}" for _, attributes, _ in page.all("section")]


def test_writing_makes_folders_and_leaves_the_old_page_when_it_fails(tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(path, report_of("x"))
    assert path.read_text(encoding="utf-8") == render(report_of("x"))
    with pytest.raises(AttributeError):
        write_report(path, Report("broken", "", (None,)))
    assert path.read_text(encoding="utf-8") == render(report_of("x"))
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


# Canvases


def test_canvases_come_through_exactly():
    page = Page(render(report_of("x")))
    images = [image_of(attributes["src"]) for _, attributes, _ in page.all("img") if PNG in attributes["src"]]
    gallery, films, buttons, view = images[:3], images[3:5], images[5:8], images[8]
    np.testing.assert_array_equal(gallery, CANVASES)
    np.testing.assert_array_equal(buttons, CANVASES)
    np.testing.assert_array_equal(view, CANVASES[0])
    for index, film in enumerate(films):
        np.testing.assert_array_equal(film.reshape(5, 8, 8, 3), FRAMES[:, index])
    inspector = json_blocks(page)[-1]
    pixels = [np.frombuffer(base64.b64decode(data), np.uint8).reshape(8, 8, 3) for data in inspector["pixels"]]
    np.testing.assert_array_equal(pixels, CANVASES)
    assert inspector["cells"] == CELLS.tolist()


def test_a_token_is_shaded_by_its_margin():
    tokens = ShadedText(("a", " ", "\n", "", "b"), (1.0, 0.0, 0.44, 7.0, np.nan), "caption")
    page = page_of(ShadedTexts((tokens,)))
    spans = [(a["class"], a["data-m"], "".join(t)) for _, a, t in page.all("span") if "data-m" in a]
    assert spans == [
        ("m10", "1.00", "a"),
        ("m0", "0.00", " "),
        ("m4", "0.44", "↵\n"),
        ("m10", "7.00", "∅"),
        ("munknown", "—", "b"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Series("s", [1, 2], [1]),
        lambda: Series("s", [1], [1], low=[0]),
        lambda: Table(("a", "b"), (("1",),)),
        lambda: Chart("c", "x", "y", (), y_log=True, y_min=0),
        lambda: Gallery(CANVASES, ("one",)),
        lambda: Gallery(CANVASES, columns=0),
        lambda: ShadedText(("a",), (), ""),
        lambda: Trajectory(FRAMES, ("one",), ""),
        lambda: Inspector(CANVASES, ("a", "b", "c"), CELLS, ((), (), ("t",) * 31), ((), (), (1.0,) * 31)),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match=r"\d|alone"):
        wrong()

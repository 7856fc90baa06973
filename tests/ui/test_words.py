"""What a model wrote, in the page: to be read, never obeyed."""

import re

from test_film import film_of

from pixjax.codec import IMAGE
from pixjax.errors import InputError
from pixjax.ui.film import problem_html, text_html, token_at, token_html

HOSTILE = '<img src=x onerror="1">&\n'


def test_text_is_escaped_and_shaded_by_its_margins():
    html = text_html(film_of(HOSTILE), 1)
    assert "<img" not in html
    assert "step 10 of 10, predicted at t = 0.9: 25 tokens, mean margin 1.00" in html
    spans = re.findall(r'<span class="m(\w+)" data-m="([\d.]+)">(.*?)</span>', html, re.DOTALL)
    assert [span[:2] for span in spans] == [("10", "1.00")] * 25
    assert [span[2] for span in spans[:4]] == ["&lt;", "i", "m", "g"]
    assert (
        len({shade for shade, _, _ in re.findall(r'class="m(\w+)" (data-m)="(.*?)"', text_html(film_of("a"), 0))}) > 3
    )


def test_a_token_is_told_with_its_cell():
    html = token_html(token_at(film_of("<"), 1, 1, 0))
    rows = dict(re.findall(r"<th>(.*?)</th><td>(.*?)</td>", html))
    assert rows["token"] == "&lt;"
    assert (rows["id"], rows["margin"]) == ("60", "1.00")
    assert sum(name.startswith("cell") for name in rows) == 2
    assert "none: a pixel of an image" in token_html(token_at(film_of("a"), 1, 0, 0))


def test_images_and_empty_texts_say_so():
    assert "an image, not to be read" in text_html(film_of("a", IMAGE), 1)
    assert "an empty text" in text_html(film_of(""), 1)


def test_an_error_may_quote_what_was_typed():
    assert "&lt;script&gt;" in problem_html(InputError("--prompt=<script> is wrong"))

"""The tutorial runs from its first cell to its last: here with fewer steps, in full when the site is built."""

import json

import numpy as np
import pytest
from pages import NOTEBOOK, ROOT, notebook_code


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads((ROOT / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The names that its cells leave, after 4 steps of training on a thinner network, and 2 of sampling."""
    code = "\n\n".join(notebook_code())
    for full, short in (
        ("steps = 400", "steps = 4"),
        ('"width": 96', '"width": 24'),
        ('"log_every": 50', '"log_every": 2'),
        ('"sampling": {"steps": 20}', '"sampling": {"steps": 2}'),
        ("tempfile.mkdtemp()", f"tempfile.mkdtemp(dir={str(tmp_path_factory.mktemp('tutorial'))!r})"),
    ):
        assert code.count(full) == 1, full
        code = code.replace(full, short)
    names: dict = {}
    exec(compile(code, NOTEBOOK, "exec"), names)
    return names


def test_a_text_is_painted_and_read(run):
    assert run["codec"].decode(run["canvas"]).text.rstrip() == "in the beginning was the word and the word was a colour"


def test_a_model_is_trained_logged_and_used(run):
    assert [line["step"] for line in run["log"]] == [2, 4]
    assert run["x_hat"].shape == (8, 16, 16, 3)
    assert np.isfinite(run["x_hat"]).all()


def test_canvases_are_sampled_and_texts_read(run):
    assert run["samples"].canvases.shape == (16, 16, 16, 3)
    assert [set(text) <= set("abcdefghijklmnopqrstuvwxyz ") for text in run["texts"]] == [True, True]

"""The page that says of each figure why it can be trusted leaves none out, and names tests that there are."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "correctness.md").read_text(encoding="utf-8")

# Where a figure stands, whose it is and by what it was measured.
PLACES = {
    "text", "image", "likelihood", "samples", "denoising", "average", "raw", "held_out", "held_out_spread",
    "references", "tags", "network", "mixed",
}  # fmt: skip
NO_FIGURES = {
    "step", "seconds", "notes", "num_times", "unit", "headline", "log_snr_min", "log_snr_max", "t", "counts",
    "canvases", "dims", "tokens", "characters",
}  # fmt: skip


def leaves(value, path: tuple[str, ...] = ()):
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*path, name))]
    return [path]


def test_every_figure_of_an_evaluation_is_on_the_page(evaluated):
    named = {name.split("/")[0] for name in re.findall(r"`([\w./…]+)`", PAGE)} | {
        name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", PAGE)
    }
    found = set()
    for path in leaves(json.loads((evaluated / "metrics.json").read_text())):
        first = next(part for part in "/".join(path).split("/") if part not in PLACES)
        found.add(first.removesuffix("_stderr"))
    assert len(found - NO_FIGURES) > 20
    assert found - NO_FIGURES <= named


def test_the_tests_that_it_names_are_there():
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path
    for name in re.findall(r"`(test_\w+\.py)`", PAGE):
        assert name in files, name
    for name in re.findall(r"`(test_\w+)`", PAGE):
        assert any(f"def {name}(" in text for text in files.values()), name

"""No link leads nowhere, and what the site shows is in its menu."""

import pytest
import yaml
from pages import DOCS, NOTEBOOK, PAGES, ROOT, anchors, links, read

SITE = [page for page in (*PAGES, NOTEBOOK) if page.startswith("docs/")]


@pytest.mark.parametrize("page", [*PAGES, NOTEBOOK])
def test_links_lead_to_a_file_and_to_a_heading_of_it(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


@pytest.mark.parametrize("page", SITE)
def test_pages_of_the_site_link_to_nothing_that_is_not_on_it(page):
    """`mkdocs build --strict` would refuse them; here without mkdocs."""
    for link in links(page):
        assert link.startswith(("https://", "#")) or (DOCS / link.partition("#")[0]).resolve().is_relative_to(DOCS), (
            link
        )


def test_every_page_is_in_the_menu_and_every_entry_of_it_is_a_page():
    def files(entry):
        if isinstance(entry, str):
            return [entry]
        return [file for part in (entry.values() if isinstance(entry, dict) else entry) for file in files(part)]

    menu = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(menu) == sorted(page.removeprefix("docs/") for page in SITE)


def test_every_object_of_the_python_interface_is_there_and_has_a_docstring():
    """What mkdocstrings will look up, found by importing it."""
    import importlib

    names = [line.removeprefix("::: ") for line in read("docs/api.md").splitlines() if line.startswith("::: ")]
    assert {"pixjax.CanvasCodec", "pixjax.load", "pixjax.Config"} <= set(names)
    for name in names:
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            found = getattr(importlib.import_module(module), attribute)
        assert (found.__doc__ or "").strip(), name


def test_pictures_are_shown_and_small():
    shown = {(ROOT / page).parent / link for page in PAGES for link in links(page) if link.endswith(".png")}
    assert {path.resolve() for path in shown} == set(DOCS.glob("**/*.png"))
    made = [DOCS / "images" / f"{name}.png" for name in ("canvases", "code", "layout", "tags", "times", "laws")]
    assert max(path.stat().st_size for path in made) < 100_000

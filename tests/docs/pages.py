"""The pages, and what is on them: blocks of code, links, anchors. What the tests of the documentation share."""

import json
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in sorted(
        [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("launch/*.md"), *ROOT.glob("benchmarks/**/*.md")]
    )
)
NOTEBOOK = "docs/tutorial.ipynb"


def read(page: str) -> str:
    """The text of a page; of a notebook, its prose."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if not page.endswith(".ipynb"):
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def notebook_code() -> list[str]:
    cells = json.loads((ROOT / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """What a page tells to type, in words. Blocks of `sh` take hours: they are parsed, and not run."""
    lines = "".join([*blocks(page, "bash"), *blocks(page, "sh")]).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def without_code(page: str) -> str:
    return re.sub(r"^```.*?^```", "", read(page), flags=re.DOTALL | re.MULTILINE)


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page))


def anchors(page: str) -> set[str]:
    """Of its headings, by the rule of Python-Markdown, which for these headings is that of GitHub."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in words}

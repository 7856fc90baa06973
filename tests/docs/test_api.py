"""The public interface: what `docs/api.md` documents, no more and no less, and its examples run as they stand there."""

import ast
import doctest
import re
import subprocess
import sys

import pytest
from pages import blocks, notebook_code, read

import pixjax
from pixjax.cli import main

NAMESPACES = ("codec", "data", "diffusion", "models")
PAGE = "docs/api.md"


def documented() -> set[str]:
    """What mkdocstrings is told to describe."""
    found = set(re.findall(r"^::: pixjax\.(\S+)$", read(PAGE), re.MULTILINE))
    with_members = re.compile(r"^::: pixjax\.(\w+)\n(?: +\w+:.*\n)+((?: +- \w+\n?)+)", re.MULTILINE)
    for namespace, members in with_members.findall(read(PAGE)):
        found |= {f"{namespace}.{member}" for member in re.findall(r"- (\w+)", members)}
    return found


def public() -> set[str]:
    return {*pixjax.__all__, *(f"{n}.{member}" for n in NAMESPACES for member in getattr(pixjax, n).__all__)}


def test_the_page_documents_all_that_is_public_and_nothing_else():
    sections = {name for name in documented() if re.fullmatch(r"config\.\w+Config", name)}  # the parts of `Config`
    assert documented() - sections == public()


def test_every_public_name_is_there_and_dir_shows_no_other():
    for name in public():
        value = pixjax
        for part in name.split("."):
            value = getattr(value, part)
    assert set(dir(pixjax)) == {*pixjax.__all__, "__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'smaple'"):
        pixjax.smaple  # noqa: B018


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the examples of the page have been run, in the order in which they stand."""
    folder = tmp_path_factory.mktemp("api")
    test = doctest.DocTestParser().get_doctest("\n".join(blocks(PAGE, "pycon")), {}, PAGE, PAGE, 0)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        results = doctest.DocTestRunner().run(test, out=said.append)
    assert results.attempted > 30
    assert not results.failed, "".join(said)
    return folder


def test_the_examples_say_what_they_say(folder):
    assert (folder / "out" / "grid.png").exists()
    assert (folder / "runs" / "tiny" / "evaluation" / "report.html").exists()


def test_a_saved_sample_is_what_the_command_writes(folder, monkeypatch):
    (told,) = re.findall(r">>> samples\.save\(\"out\"\)  # as pixjax (.*)", read(PAGE))
    monkeypatch.chdir(folder)
    assert main([*told.removesuffix("--out=out").split(), "--out=command"]) == 0
    files = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.*"))
    assert len(files) == 6  # a grid, a file of texts, four canvases
    for file in files:
        assert (folder / "out" / file).read_bytes() == (folder / "command" / file).read_bytes(), file
    assert sorted(str(p.relative_to(folder / "command")) for p in (folder / "command").rglob("*.*")) == files


@pytest.mark.parametrize("page", ["README.md", "docs/your_data.md", PAGE, "docs/tutorial.ipynb"])
def test_pages_use_nothing_that_is_private(page):
    code = notebook_code() if page.endswith(".ipynb") else blocks(page, "python")
    if page == PAGE:
        code += [doctest.script_from_examples(block) for block in blocks(page, "pycon")]
    used = set()
    for node in (node for block in code for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom):
            assert not node.module.startswith("pixjax"), ast.unparse(node)
        elif isinstance(node, ast.Import):
            used |= {alias.name.removeprefix("pixjax.") for alias in node.names if alias.name.startswith("pixjax.")}
        elif isinstance(node, ast.Attribute) and (match := re.match(r"pixjax\.((?:\w+\.)?\w+)", ast.unparse(node))):
            used.add(match[1])
    assert used
    assert {name for name in used if name not in public() and name.split(".")[0] not in pixjax.__all__} == set()
    assert {n for n in used if n.split(".")[0] in NAMESPACES} <= public()


def test_importing_costs_nothing_and_a_codec_loads_neither_a_config_nor_jax():
    script = (
        "import sys, pixjax\n"
        "loaded = {name for name in sys.modules if name.split('.')[0] not in sys.stdlib_module_names}\n"
        "assert {name for name in loaded if name.startswith('pixjax')} == {'pixjax', 'pixjax.version'}, loaded\n"
        "assert not {'numpy', 'jax'} & loaded\n"
        "codec = pixjax.CanvasCodec(tokenizer='bytes', layout='patch')\n"
        "assert codec.decode(codec.encode('a text')).text == 'a text'\n"
        "assert codec.decode(codec.mark(codec.encode('')[0], 'image')).modality[0] == pixjax.Modality.IMAGE\n"
        "assert not {'jax', 'flax', 'ml_collections', 'pixjax.config'} & set(sys.modules)\n"
        "pixjax.load_config('demo')\n"
        "assert 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

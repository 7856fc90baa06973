"""What docstrings and comments name in backticks is there: files, modules, classes, functions, keys."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("pixjax", "benchmarks", "docs", "launch", "tests")
SOURCES = {str(path.relative_to(ROOT)): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}

QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMENT = re.compile(r"(?:^|\s)#\s(.*)")
FILE = re.compile(r"[a-z0-9_./]+\.py")
MODULE = re.compile(r"pixjax(\.[a-z0-9_]+)+")
WORD = re.compile(r"[A-Za-z_]\w*")
TELLING = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+|([A-Z]+[a-z0-9]+){2,}")  # snake_case and CamelCase: no word of a language


def read(source: str) -> tuple[list[str], set[str]]:
    """Docstrings and comments; and the words of the code, those in its other strings included."""
    prose, words, strings = [], set(), []
    said = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            said.add(node.value)
            prose.append(node.value.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.append(node)
        else:
            named = (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname", "module"))
            words.update(word for name in named if isinstance(name, str) for word in name.split("."))
    words.update(word for node in strings if node not in said for word in WORD.findall(node.value))
    return prose + COMMENT.findall(source), words


def missing(quoted: str, words: set[str]) -> list[str]:
    """What a piece in backticks names, and is nowhere."""
    if FILE.fullmatch(quoted):
        return [] if any(f"/{name}".endswith(f"/{quoted}") for name in SOURCES) else [quoted]
    if found := MODULE.match(quoted):
        path = found[0].replace(".", "/")
        parents = (path, path.rpartition("/")[0])  # the last may be a function
        return [] if any(f"{p}{end}" in SOURCES for p in parents for end in (".py", "/__init__.py")) else [quoted]
    return [word for word in WORD.findall(quoted) if TELLING.fullmatch(word) and word not in words]


def test_a_name_of_nothing_is_found():
    words = {"load_config", "CanvasCodec"}
    for quoted in ("load_config(name)", "CanvasCodec", "pixjax/codec/color.py", "color.py", "pixjax.codec.color", "t"):
        assert not missing(quoted, words)
    for quoted in ("load_configs(name)", "CanvasCodecs", "pixjax/codec/colour.py", "colour.py", "pixjax.codec.a.b"):
        assert missing(quoted, words)


def test_docstrings_and_comments_name_what_is_there():
    parts = {name: read(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
    words = set().union(*(words for _, words in parts.values()))
    stale = [
        f"{name}: `{quoted}`: there is no {', '.join(absent)}"
        for name, (prose, _) in parts.items()
        for text in prose
        for quoted in QUOTED.findall(text)
        if (absent := missing(quoted, words))
    ]
    assert not stale, "\n".join(stale)

"""What the questions quote are messages that pixjax has."""

import ast
import functools
import re

from pages import ROOT, blocks

SHORTEST = 20  # characters of a message beside its values, for it to be recognised by
RAISED = {"InputError", "RunError", "require"}


@functools.cache
def messages() -> list[re.Pattern]:
    """Of every error in the source, as a pattern: a value stands for anything."""
    texts = []
    for path in (ROOT / "pixjax").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in RAISED and node.args:
                texts.append(node.args[-1])
            elif isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr):  # a function makes the message
                texts.append(node.value)
    return [re.compile(pattern) for text in texts if (pattern := pattern_of(text))]


def pattern_of(text: ast.expr) -> str:
    """Empty for what is not a text, or is hardly more than values."""
    if isinstance(text, ast.BinOp):  # one text after the other
        return pattern_of(text.left) + ".*"
    if isinstance(text, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in text.values]
    elif isinstance(text, ast.Constant) and isinstance(text.value, str):
        parts = [text.value]
    else:
        return ""
    fixed = sum(len(part) for part in parts if part is not None)
    return "".join(".*" if part is None else re.escape(part) for part in parts) if fixed >= SHORTEST else ""


def quoted() -> list[str]:
    return [line for block in blocks("docs/faq.md", "text") for line in block.splitlines()]


def test_every_error_that_is_quoted_is_one_that_the_source_has():
    lines = quoted()
    assert len(lines) > 20
    for line in lines:
        assert any(message.fullmatch(line) for message in messages()), line


def test_an_error_that_the_source_does_not_have_would_be_noticed():
    for line in quoted():
        changed = line.replace(" ", "  ")
        assert not any(message.fullmatch(changed) for message in messages()), changed

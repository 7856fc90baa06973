"""Imports run one way, without a circle, those inside of functions and of `TYPE_CHECKING` included."""

import ast
import graphlib
import importlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "pixjax"

# From what imports least to what imports most; those on one line import nothing from one another.
TIERS = (
    ("errors", "version", "streams"),
    ("notation", "config_values", "stores", "peers", "chips", "rendezvous"),
    ("paths",),
    ("runtime",),
    ("config",),
    ("config_file", "configs"),
    ("codec",),
    ("data", "diffusion"),
    ("models",),
    ("training.mesh", "training.optimizer", "training.state"),  # what a checkpoint holds, below what saves it
    ("checkpoints",),
    ("training", "sampling", "interop"),
    ("planning", "evaluation"),  # planning compiles the training step
    ("report",),
    ("study", "ui"),
    ("commands",),
    ("cli", ""),  # "": `import pixjax`, which nothing inside of it needs
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(TIERS) for name in names}


def module_name(path: pathlib.Path) -> str:
    """`codec.color`; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str) -> dict[str, int]:
    """The modules of the package that a source imports anywhere in it, and in which line."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: an import that is relative"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, name = name.partition(".")
            if package == "pixjax":
                found.setdefault(name if name in FILES else name.rpartition(".")[0], node.lineno)
    return found


def defines(module: str, name: str) -> bool:
    """Whether a module of the package has a name, or is a package that has a module of it."""
    if f"{module}.{name}".lstrip(".") in FILES:
        return True
    if module not in FILES:
        return False
    try:
        return hasattr(importlib.import_module(f"pixjax.{module}".rstrip(".")), name)
    except ModuleNotFoundError as error:  # of an extra that is not installed
        return not error.name.startswith("pixjax")


@pytest.fixture(scope="module")
def imports() -> dict[str, dict[str, int]]:
    """What each module of the package imports."""
    return {name: imported(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def tier(module: str) -> str | None:
    """The longest of the names in `TIERS` that a module is or lies in."""
    parts = module.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in RANK), None)


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import pixjax.codec.color", "codec.color"),
        ("from pixjax.codec.color import parse_code", "codec.color"),
        ("from pixjax.codec import color", "codec.color"),
        ("def f():\n    from pixjax.codec import CanvasCodec", "codec"),
        ("if TYPE_CHECKING:\n    from pixjax.codec import CanvasCodec", "codec"),
        ("import pixjax", ""),
        ("from pixjax import load", ""),
    ],
)
def test_an_import_is_seen_wherever_it_stands(source, module):
    assert set(imported(source)) == {module}


def test_no_module_needs_itself(imports):
    try:
        graphlib.TopologicalSorter({name: set(found) for name, found in imports.items()}).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a circle: " + " <- ".join(error.args[1]))


def test_every_module_has_its_place():
    assert not [name for name in FILES if tier(name) is None]


def test_imports_run_one_way(imports):
    against = []
    for name, found in imports.items():
        for other, line in found.items():
            mine, theirs = tier(name), tier(other)
            if mine != theirs and RANK[mine] <= RANK[theirs]:
                against.append(f"{FILES[name].relative_to(PACKAGE.parent)}:{line} ({mine}) imports {other} ({theirs})")
    assert not against, "\n".join(against)


@pytest.mark.parametrize("folder", ["benchmarks", "configs", "launch", "tests"])
def test_what_others_import_from_the_package_is_there(folder):
    missing = []
    for path in sorted((PACKAGE.parent / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pixjax":
                module = node.module.partition(".")[2]
                names = [alias.name for alias in node.names]
                missing += [f"{path.name}: {node.module}.{name}" for name in names if not defines(module, name)]
    assert not missing

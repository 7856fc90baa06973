"""Find a config file, run it, apply `--config.a.b=v`, and hand over a checked `Config`."""

import ast
import contextlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pixjax.config import Config, known_keys
from pixjax.config_values import plain, unknown_key
from pixjax.errors import InputError
from pixjax.paths import local_path

_PACKAGED = pathlib.Path(__file__).parent / "configs"


Overrides = Mapping[str, Any] | Sequence[str]  # {"training.steps": 10}, or ["training.steps=10"]


def load_config(name_or_path: str | os.PathLike, overrides: Overrides = ()) -> Config:
    """The config that a file makes, some of its keys changed.

    >>> load_config("demo", {"training.steps": 10, "data.text_ratio": 1}).training.steps
    10

    Args:
      name_or_path: a path ending in .py, or the bare name of a config inside the package; `:ARG` after it is handed to
        the file's `get_config`, as a string.
      overrides: values by dotted key, or a list of `KEY=VALUE` as on the command line. A text is read as the type of
        its key, so that `"10"` and `10` say the same.

    Raises:
      InputError: no such config, an unknown key (the nearest is named), a value of the wrong type or out of range.
    """
    return with_overrides(Config.from_dict(run_config_file(os.fspath(name_or_path), "get_config")), overrides)


def with_overrides(config: Config, overrides: Overrides) -> Config:
    """A config with some keys changed, by the rules of `load_config`. Raises its `InputError`."""
    values = config.to_dict()
    for key, value in _changes(overrides):
        _set(values, key, value)
    return Config.from_dict(values)


def _changes(overrides: Overrides) -> Iterator[tuple[str, Any]]:
    if isinstance(overrides, str):
        raise InputError(f"overrides={overrides!r} is one text: give a list of KEY=VALUE, or a dict by key")
    if isinstance(overrides, Mapping):
        yield from overrides.items()
        return
    for override in overrides:
        key, equals, text = override.removeprefix("--config.").partition("=")
        if not equals:
            raise InputError(f"{override} has no value: write {override}=VALUE")
        yield key, text


def run_config_file(name: str, function: str) -> dict[str, Any]:
    """What `function` of a file returns, as plain values; `name` is as in `load_config`.

    Raises:
      InputError: no such file, one of another kind, or one that does not run.
    """
    path, argument = _find(name)
    spec = importlib.util.spec_from_file_location(f"pixjax_config_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        with _neighbours_importable(path.resolve().parent):
            spec.loader.exec_module(module)
            if not hasattr(module, function):
                if hasattr(module, "get_study"):
                    raise InputError(f"{path} is a study, give it to pixjax study")
                if hasattr(module, "get_config"):
                    raise InputError(f"{path} is a config, give it to pixjax train")
                raise InputError(f"{path} has no {function}(): define it, as the files in pixjax/configs do")
            make = getattr(module, function)
            arguments = () if argument is None else (argument,)
            _require_takes(make, arguments, path, function)
            values = make(*arguments)
        return values if isinstance(values, dict) else values.to_dict()
    except InputError:
        raise
    except Exception as error:  # a person's own file may fail in any way
        reason = " ".join(str(error).split())
        raise InputError(f"config {path} does not run: {type(error).__name__}: {reason}") from error


def _find(name: str) -> tuple[pathlib.Path, str | None]:
    """The file, and what stands after it and a colon; None where there is no colon."""
    argument = None
    if not pathlib.Path(name).is_file():  # a colon may be in the name of a file
        file, colon, after = name.partition(".py:")
        if colon:
            name, argument = f"{file}.py", after
        elif not name.endswith(".py") and ":" in name:
            name, _, argument = name.partition(":")
    if name.endswith(".py"):
        if not (path := local_path(name, "--config")).is_file():
            raise InputError(f"config file {name} does not exist")
        return path, argument
    if not (path := _PACKAGED / f"{name}.py").is_file():
        packaged = ", ".join(sorted(p.stem for p in _PACKAGED.glob("[a-z]*.py")))
        raise InputError(f"no config is named {name!r}: choose one of {packaged}, or give the path of a .py file")
    return path, argument


@contextlib.contextmanager
def _neighbours_importable(folder: pathlib.Path) -> Iterator[None]:
    """A config may import what lies beside it, as a script may.

    Those modules are forgotten afterwards, since another config may have a neighbour of the same name.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        new = set(sys.modules) - before
        here = {name for name in new if "." not in name and _lies_in(folder, name)}
        for name in new:
            if name.partition(".")[0] in here:
                del sys.modules[name]


def _lies_in(folder: pathlib.Path, module: str) -> bool:
    found = importlib.machinery.PathFinder.find_spec(module, [str(folder)])
    spec = getattr(sys.modules[module], "__spec__", None)
    return found is not None and spec is not None and found.origin == spec.origin


def _require_takes(make: Callable, arguments: tuple[str, ...], path: pathlib.Path, function: str) -> None:
    try:
        inspect.signature(make).bind(*arguments)
    except TypeError:
        if arguments:
            raise InputError(
                f"{function}() of {path} takes no argument, and {arguments[0]!r} was given: leave out ':{arguments[0]}'"
            ) from None
        raise InputError(f"{function}() of {path} needs an argument: write {path}:ARGUMENT") from None


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a text is read as the type of the value that is there."""
    if key not in known_keys():
        raise InputError(unknown_key(str(key), known_keys()))
    *sections, leaf = key.split(".")
    for section in sections:
        values = values[section]
    present = values[leaf]
    value = _parse(key, value, present) if isinstance(value, str) else plain(value)
    values[leaf] = (value,) if isinstance(present, tuple) and not isinstance(value, tuple | list) else value


def _parse(key: str, text: str, present: Any) -> Any:
    if isinstance(present, str):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError) as error:
        if isinstance(present, tuple):
            return text
        raise InputError(f"{key}={text!r} has the wrong type: expected {type(present).__name__}") from error
    if isinstance(value, tuple) and not isinstance(present, tuple):  # 1,000
        raise InputError(f"{key}={text!r} has the wrong type: expected {type(present).__name__}")
    return value


def config_from_json(text: str | bytes, origin: str) -> Config:
    """The config stored in a workdir."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{origin} is damaged, it is not JSON: restore it from a copy of the workdir") from error
    if not isinstance(values, dict):
        raise InputError(f"{origin} is damaged, it holds no config: restore it from a copy of the workdir")
    try:
        return Config.from_dict(values)
    except InputError as error:
        raise InputError(f"{origin} was written by another version of pixjax: {error}") from error

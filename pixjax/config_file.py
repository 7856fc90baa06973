"""Find a config file, run it, apply `--config.a.b=v`, and hand over a checked `Config`."""

import ast
import importlib.util
import json
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pixjax.config import Config, known_keys, unknown_key
from pixjax.errors import InputError
from pixjax.paths import local_path

if TYPE_CHECKING:
    from pixjax.evaluation.study import Study

_PACKAGED = pathlib.Path(__file__).parent / "configs"


def read_config(name: str, overrides: Sequence[str] = ()) -> Config:
    """The config that a file and the command line make.

    Args:
      name: a path ending in .py, or the bare name of a config inside the package.
      overrides: `--config.KEY=VALUE`, a dotted key each.

    Raises:
      InputError: no such config, an unknown key (the nearest is named), a value of the wrong type or out of range.
    """
    return _with_overrides(_run_config_file(_find(name), "get_config"), overrides)


def _with_overrides(config: Any, overrides: Sequence[str]) -> Config:
    values = Config.from_dict(config).to_dict()  # checked before anything is changed
    for override in overrides:
        key, equals, text = override.removeprefix("--config.").partition("=")
        if not equals:
            raise InputError(f"{override} has no value: write {override}=VALUE")
        _set(values, key, text)
    return Config.from_dict(values)


def read_study(name: str, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> "Study":
    """The study that a file describes; overrides change its base config, seeds take the place of its own.

    Raises:
      InputError: as `read_config` does, or an arm or a comparison that is not possible.
    """
    from pixjax.evaluation.study import Study

    values = _run_config_file(_find(name), "get_study")
    if seeds:
        values["seeds"] = tuple(seeds)
    base = values.get("base")
    if base is None:
        raise InputError(f"study {name} has no base: give it the config that all arms share")
    return Study.from_dict(values, _with_overrides(base.to_dict(), overrides))


def _find(name: str) -> pathlib.Path:
    if name.endswith(".py"):
        if not (path := local_path(name, "--config")).is_file():
            raise InputError(f"config file {name} does not exist")
        return path
    if not (path := _PACKAGED / f"{name}.py").is_file():
        packaged = ", ".join(sorted(p.stem for p in _PACKAGED.glob("[a-z]*.py")))
        raise InputError(f"no config is named {name!r}: choose one of {packaged}, or give the path of a .py file")
    return path


def _run_config_file(path: pathlib.Path, function: str) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(f"pixjax_config_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, function):
            kind = (
                "study, give it to pixjax study" if hasattr(module, "get_study") else "config, give it to pixjax train"
            )
            raise InputError(f"{path} is a {kind}")
        values = getattr(module, function)()
        return values if isinstance(values, dict) else values.to_dict()
    except InputError:
        raise
    except Exception as error:  # a person's own file may fail in any way
        reason = " ".join(str(error).split())
        raise InputError(f"config {path} does not run: {type(error).__name__}: {reason}") from error


def _set(values: dict[str, Any], key: str, text: str) -> None:
    """Set a dotted key from its text, read as the type of the value that is there."""
    if key not in known_keys():
        raise InputError(unknown_key(key))
    *sections, leaf = key.split(".")
    for section in sections:
        values = values[section]
    values[leaf] = _parse(key, text, values[leaf])


def _parse(key: str, text: str, present: Any) -> Any:
    if isinstance(present, str):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError) as error:
        if isinstance(present, tuple):
            return (text,)
        raise InputError(f"{key}={text!r} has the wrong type: expected {type(present).__name__}") from error
    return (value,) if isinstance(present, tuple) and not isinstance(value, tuple | list) else value


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

"""The configs that come with the package."""

import pathlib

import pixjax.configs
from pixjax.config import Config
from pixjax.config_file import load_config
from pixjax.study.study import read_study

[FOLDER] = pixjax.configs.__path__
SHIPPED = sorted(path.stem for path in pathlib.Path(FOLDER).iterdir() if path.name[0].isalpha())


def config_named(name: str) -> Config:
    """Of a study what all its arms share."""
    return read_study(name).base if name.startswith("study_") else load_config(name)

"""A tiny run with context, in bytes, so that its texts may hold anything; long enough for prompts to matter."""

import pytest
from etils import epath

from pixjax.training.train import train


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, tiny_config):
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    config = tiny_config(
        codec={"tokenizer": "bytes", "code": "radix:auto:2", "normalize": False},
        model={"context_canvases": 1, "depth": 1},
        data={"context_pages": 1},
        training={"steps": 4, "warmup_steps": 1, "learning_rate": 1e-2},
    )
    train(config, folder)
    return folder

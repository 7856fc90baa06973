"""Starts one training after another without importing everything each time: a fork before jax computes anything.

Reads a line for each start from stdin, and writes two: the child's process id, and its exit status when it has ended.
"""

import os
import pathlib
import sys

from etils import epath

from pixjax.config_file import config_from_json
from pixjax.training.train import train


def main(config_path: str, workdir: str) -> None:
    config = config_from_json(pathlib.Path(config_path).read_text(), config_path)
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            train(config, epath.Path(workdir))
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

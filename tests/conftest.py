"""Shared fixtures: real data where there is any, and one compilation cache for all test processes."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data; a test that asks for it is skipped where there is none."""
    folder = pathlib.Path(os.environ.get("PIXJAX_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PIXJAX_DATA to a folder that has it")
    return folder

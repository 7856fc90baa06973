"""What every command that computes sets first."""

import os
import pathlib

import jax


def set_up() -> None:
    """A compilation cache that survives the process, unless the environment names one already."""
    if not jax.config.values["jax_compilation_cache_dir"]:
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "pixjax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)

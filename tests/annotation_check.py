"""The annotations of these packages are checked at every call in a test's own process: types by beartype, shapes by
jaxtyping. Programs that a test starts run without it.
"""

import functools
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO

import jax
import jaxtyping
import numpy as np
from beartype import BeartypeConf, BeartypeHintOverrides, beartype

# The codec is left out: its property tests call small functions so often that they would take almost twice as long. So
# is what is above the models: tests give it stand-ins, and wrong values that it has to refuse in words of its own.
CHECKED = ("pixjax.data", "pixjax.diffusion", "pixjax.models")

# Numbers of NumPy are numbers, an int does where a float is asked for, and no real stream is a `typing.IO`.
_MEANT = {int: int | np.integer, float: float | int | np.integer | np.floating, BinaryIO: object, TextIO: object}
_typed = beartype(conf=BeartypeConf(hint_overrides=BeartypeHintOverrides(_MEANT)))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, raising where an argument or what it returns is not what its annotation says."""
    checked = _typed(function)
    if function.__name__ != "__init__":
        return checked

    @functools.wraps(checked)
    def of_instance(self, *args, **kwargs):
        # JAX also makes pytrees of shapes, of shardings and of what else a function of their leaves returns.
        is_pytree = not jax.tree_util.all_leaves([self])
        return (function if is_pytree else checked)(self, *args, **kwargs)

    return of_instance


def check_annotations() -> None:
    """To be called before the package is imported: its modules are compiled for it then."""
    jaxtyping.install_import_hook(CHECKED, f"{__name__}.check")

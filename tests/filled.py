"""Parameters of which none is zero: the zeros of a fresh model hide what lies behind them."""

import jax
import jax.numpy as jnp
import numpy as np


def filled(like, scale: float, seed: int = 0):
    """Normal numbers of the standard deviation `scale` for each array, or shape of one. NumPy compiles nothing."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(scale * random.standard_normal(x.shape), x.dtype), like)

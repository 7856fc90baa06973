"""Soft decoding: how probable each token is, given what a noisy canvas shows."""

import numpy as np
from jaxtyping import Float, Shaped

from pixjax.codec.scale import Array, is_uint8, to_float


def log_posterior(
    rgb: Shaped[Array, "*batch digits"],
    sigma: float | Float[Array, "*#batch"],
    levels: Float[np.ndarray, "levels"],
    digits: Shaped[np.ndarray, "vocab digits"],
    log_prior: Float[Array, "vocab"] | None = None,
) -> Float[Array, "*batch vocab"]:
    """log p(id | x) in nats for x = colour + sigma · ε, ε standard normal: exact, by Bayes' rule.

    Both rgb (or uint8) and `levels` are in [-1, 1]. The Gaussian factorises over digits, so that the
    likelihood of an id is a sum of entries of a table [digits, levels]. `log_prior` need not be normalised;
    None is uniform.
    """
    xp = rgb.__array_namespace__()
    x = to_float(rgb) if is_uint8(rgb) else xp.clip(xp.where(xp.isnan(rgb), 0, rgb), -1e4, 1e4)
    scale = xp.asarray(sigma, dtype=xp.float32)[..., None, None]
    # Differences are scaled before they are squared: 1 / sigma² overflows long before sigma is 0.
    table = -0.5 * ((x.astype(xp.float32)[..., None] - xp.asarray(levels)) / scale) ** 2
    total = sum(table[..., i, :][..., xp.asarray(digits[:, i].astype(np.int32))] for i in range(digits.shape[1]))
    if log_prior is not None:
        total = total + xp.asarray(log_prior, dtype=xp.float32)
    total = total - xp.max(total, axis=-1, keepdims=True)
    return total - xp.log(xp.sum(xp.exp(total), axis=-1, keepdims=True))

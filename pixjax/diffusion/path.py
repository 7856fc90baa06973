"""z = t·x + (1 - t)·s·ε: the straight path of rectified flow (arXiv 2209.03003), with noise scale s."""

from jaxtyping import Array, Float


def per_canvas(t: Float[Array, " batch"]) -> Float[Array, "batch 1 1 1"]:
    return t[:, None, None, None]


def noisy(
    x: Float[Array, "batch height width 3"],
    noise: Float[Array, "batch height width 3"],
    t: Float[Array, " batch"],
    noise_scale: float = 1.0,
) -> Float[Array, "batch height width 3"]:
    """The canvas at time t. `x` is in [-1, 1], `noise` is standard normal."""
    return per_canvas(t) * x + per_canvas(1 - t) * noise_scale * noise

"""Canvas to patches and back. A patch is flattened row by row, channels last."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def patchify(
    canvas: Shaped[Array, "batch height width channels"], patch: tuple[int, int]
) -> Shaped[Array, "batch patches values"]:
    batch, height, width, channels = canvas.shape
    rows, columns = height // patch[0], width // patch[1]
    x = canvas.reshape(batch, rows, patch[0], columns, patch[1], channels)
    return jnp.swapaxes(x, 2, 3).reshape(batch, rows * columns, -1)


def unpatchify(
    patches: Shaped[Array, "batch patches values"], patch: tuple[int, int], grid: tuple[int, int]
) -> Shaped[Array, "batch height width channels"]:
    x = patches.reshape(patches.shape[0], *grid, *patch, -1)
    return jnp.swapaxes(x, 2, 3).reshape(patches.shape[0], grid[0] * patch[0], grid[1] * patch[1], -1)

"""Patches: a canvas cut into them and put together again, row by row with channels last, and their positions."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pixjax.codec.scale import Array as AnyArray


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


def sincos_table(rows: int, columns: int, width: int) -> Float[np.ndarray, "patches width"]:
    """The frozen 2-D table of MAE and DiT: the first half of the width encodes the column, the second the row."""
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    halves = [_sincos(position.reshape(-1), width // 2) for position in (column, row)]
    return np.concatenate(halves, axis=-1).astype(np.float32)


def _sincos(position: np.ndarray, width: int) -> np.ndarray:
    frequencies = 10_000.0 ** (-np.arange(width // 2) / (width / 2))
    angles = position[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)


def rope_angles(
    rows: int,
    columns: int,
    head_width: int,
    unrotated: int = 0,
    canvases: int = 1,
    *,
    kind: str = "2d",
    theta: float = 1e4,
) -> Float[np.ndarray, "tokens pairs"]:
    """Angles of the rotary embedding.

    Args:
      kind: `2d`, half of a head's pairs turn with the row, half with the column; or `1d`, all of them with the place
        in reading order.
      unrotated: tokens without a place that come first (in-context tokens); their angle is zero.
      canvases: that follow each other, each with the same places.
    """
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    positions = (row, column) if kind == "2d" else (row * columns + column,)
    turned = head_width // len(positions)  # channels that each of them turns, in pairs
    frequencies = theta ** (-np.arange(0, turned, 2) / turned)
    angles = np.concatenate([p.reshape(-1, 1) * frequencies for p in positions], axis=-1)
    return np.concatenate([np.zeros((unrotated, head_width // 2)), *[angles] * canvases]).astype(np.float32)


def rotate(
    x_BNHK: Float[Array, "batch tokens heads head_width"], angles_NP: Float[AnyArray, "tokens pairs"]
) -> Float[Array, "batch tokens heads head_width"]:
    """Rotary embedding over interleaved pairs (RoFormer, arXiv 2104.09864), in float32."""
    # Each of a pair beside the other: written as two halves that are put together, it takes four passes over memory.
    x = x_BNHK.astype(jnp.float32)
    others = jnp.flip(x.reshape(*x.shape[:-1], -1, 2), axis=-1).reshape(x.shape)
    cos, sin = jnp.cos(angles_NP), jnp.sin(angles_NP)
    cos = jnp.stack([cos, cos], axis=-1).reshape(len(cos), -1)[None, :, None]
    sin = jnp.stack([-sin, sin], axis=-1).reshape(len(sin), -1)[None, :, None]
    return (x * cos + others * sin).astype(x_BNHK.dtype)


def time_features(t: Float[Array, " batch"], width: int = 256, period: float = 1e4) -> Float[Array, "batch width"]:
    """Cosines and sines of the raw t in (0, 1), as in DiT (arXiv 2212.09748)."""
    frequencies = period ** (-np.arange(width // 2) / (width // 2))
    angles = t.astype(jnp.float32)[:, None] * frequencies.astype(np.float32)[None]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)

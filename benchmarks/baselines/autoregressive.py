"""A decoder-only transformer that predicts the next character: the field's best model of text, exact in its bits.

    python -m benchmarks.baselines.autoregressive --text='train.txt.gz' --validation=valid.txt.gz --test=test.txt.gz \
        --tokenizer=chars27 --length=256 --characters=10000000 --out=autoregressive.json

The test text is cut into windows that do not overlap and each is predicted from nothing, its first character from a
blank, so that the model sees what a canvas of as many cells holds and not a character more. `--stride=S` also slides
the window S tokens at a time and counts the last S of each, which then have the rest of the window before them: the
figure that is usually published.
"""

import argparse
import sys

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Integer

from benchmarks.baselines.command import Baseline, Predict, run
from benchmarks.baselines.fit import Examples
from pixjax.errors import InputError


def next_token_nats(predict: Predict, blank: int, ids: Integer[Array, "batch tokens"]) -> Float[Array, "batch tokens"]:
    """-log p of each token given those before it in its window."""
    before = jnp.pad(ids.astype(jnp.int32), ((0, 0), (1, 0)), constant_values=blank)[:, :-1]
    return optax.softmax_cross_entropy_with_integer_labels(predict(before), ids.astype(jnp.int32))


def loss(predict: Predict, blank: int, ids: Integer[Array, "batch tokens"], key: Array) -> Float[Array, ""]:
    return jnp.mean(next_token_nats(predict, blank, ids))


def score(
    predict: Predict, blank: int, ids: Integer[Array, "batch tokens"], counted: Bool[Array, "batch tokens"]
) -> Float[Array, " batch"]:
    return jnp.sum(jnp.where(counted, next_token_nats(predict, blank, ids), 0.0), axis=1)


def examples(windows: Integer[np.ndarray, "windows length"]) -> Examples:
    counted = np.ones(windows.shape, bool)
    return Examples(arrays={"ids": windows, "counted": counted}, counted=windows.shape[1])


def sliding_examples(ids: Integer[np.ndarray, " tokens"], length: int, stride: int) -> Examples:
    """Windows that overlap, of which the last `stride` tokens count: together all but the first `length - stride`."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, length)[::stride]
    counted = np.broadcast_to(np.arange(length) >= length - stride, windows.shape)
    return Examples(arrays={"ids": windows, "counted": counted}, counted=stride)


def test_examples(
    windows: Integer[np.ndarray, "windows length"], ids: Integer[np.ndarray, " tokens"], args: argparse.Namespace
) -> dict[str, Examples]:
    sliding = {"sliding": sliding_examples(ids, args.length, args.stride)} if args.stride else {}
    return {"windows": examples(windows), **sliding}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stride", type=int, default=0, metavar="S", help="also slide the window S tokens at a time")


def check(args: argparse.Namespace) -> None:
    if not 0 <= args.stride <= args.length:
        raise InputError(f"--stride={args.stride} is not between 1 and --length={args.length} (0: not measured)")


AUTOREGRESSIVE = Baseline(
    name="autoregressive transformer",
    module="benchmarks.baselines.autoregressive",
    description=__doc__,
    causal=True,
    loss=loss,
    score=score,
    validation_examples=examples,
    test_examples=test_examples,
    add_arguments=add_arguments,
    check=check,
)

if __name__ == "__main__":
    sys.exit(run(AUTOREGRESSIVE))

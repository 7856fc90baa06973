"""Masked (absorbing) diffusion of characters: MDLM (arXiv 2406.07524) and MD4 (arXiv 2406.04329).

    python -m benchmarks.baselines.masked_diffusion --text='train.txt.gz' --validation=valid.txt.gz --test=test.txt.gz \
        --tokenizer=chars27 --length=256 --characters=10000000 --out=masked_diffusion.json

At time t each character is masked with probability 1 - α(t) = t, the linear schedule, and a bidirectional transformer
predicts what is under the masks. In continuous time the negative evidence lower bound of a text x is

    -log p(x) <= ∫ -α'(t) / (1 - α(t)) · E[Σ -log p(x_i | z_t)] dt = ∫ 1/t · E[Σ -log p(x_i | z_t)] dt,

the sum over the masked; nothing is left to pay at either end, where all is masked and nothing is. The network never
predicts a mask and what is not masked is copied (MDLM's substitutions). It is not told t, which the masks show.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Integer

from benchmarks.baselines.command import Baseline, Predict, run
from benchmarks.baselines.fit import Examples
from pixjax.errors import InputError


def masked_nats(
    predict: Predict, blank: int, ids: Integer[Array, "batch tokens"], masked: Bool[Array, "batch tokens"]
) -> Float[Array, " batch"]:
    """Σ -log p(x_i | z) over the masked tokens, z the others."""
    ids = ids.astype(jnp.int32)
    nats = optax.softmax_cross_entropy_with_integer_labels(predict(jnp.where(masked, blank, ids)), ids)
    return jnp.sum(jnp.where(masked, nats, 0.0), axis=1)


def loss(predict: Predict, blank: int, ids: Integer[Array, "batch tokens"], key: Array) -> Float[Array, ""]:
    """An unbiased estimate of the bound, in nats a token.

    The times of a batch are spread evenly over (0, 1] by one random offset, the low-discrepancy sampler of VDM
    (arXiv 2107.00630, appendix I.1).
    """
    batch, tokens = ids.shape
    time_key, mask_key = jax.random.split(key)
    t = 1.0 - jnp.mod(jax.random.uniform(time_key) + jnp.arange(batch) / batch, 1.0)
    masked = jax.random.uniform(mask_key, ids.shape) < t[:, None]
    return jnp.mean(masked_nats(predict, blank, ids, masked) / t) / tokens


def score(
    predict: Predict, blank: int, ids: Integer[Array, "batch tokens"], masked: Bool[Array, "batch tokens"]
) -> Float[Array, " batch"]:
    """The same bound with t integrated out, where the number of masks is uniform over 1 … N and their places are too.

    That k of N are masked has the density C(N, k) t^k (1 - t)^(N - k); with the weight 1/t its integral over t is
    1/k. So the bound is N times the mean over k of the mean over the k masked (arXiv 2406.03736, 2110.02037): the
    variance is finite, which that of an estimate at random t is not.
    """
    return masked_nats(predict, blank, ids, masked) * (ids.shape[1] / jnp.sum(masked, axis=1))


def examples(windows: Integer[np.ndarray, "windows length"], samples: int = 1, seed: int = 0) -> Examples:
    """Every window `samples` times, with numbers of masks that are spread evenly over its samples and over all."""
    count, length = windows.shape
    random = np.random.default_rng(seed)
    rank = np.arange(samples) * count + np.arange(count)[:, None]
    masks = 1 + (length * np.mod(rank / (count * samples) + random.random(), 1.0)).astype(int).reshape(-1, 1)
    masked = random.permuted(np.arange(length) < masks, axis=1)
    return Examples(
        arrays={"ids": np.repeat(windows, samples, axis=0), "masked": masked}, counted=length, samples=samples
    )


def test_examples(
    windows: Integer[np.ndarray, "windows length"], ids: Integer[np.ndarray, " tokens"], args: argparse.Namespace
) -> dict[str, Examples]:
    return {"windows": examples(windows, args.samples, args.seed)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=16, metavar="N", help="sets of masks for each window (16)")


def check(args: argparse.Namespace) -> None:
    if args.samples < 1:
        raise InputError(f"--samples={args.samples} has to be 1 or more")


MASKED_DIFFUSION = Baseline(
    name="masked diffusion",
    module="benchmarks.baselines.masked_diffusion",
    description=__doc__,
    causal=False,
    loss=loss,
    score=score,
    validation_examples=examples,
    test_examples=test_examples,
    add_arguments=add_arguments,
    check=check,
)

if __name__ == "__main__":
    sys.exit(run(MASKED_DIFFUSION))

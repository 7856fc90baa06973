"""Bits of held-out text by the order in which canvases are decided, and what sampling in that order costs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT
from pixjax.config import SamplingConfig
from pixjax.diffusion import WHOLE
from pixjax.diffusion.bound import Bound
from pixjax.diffusion.posterior import counted_cells
from pixjax.diffusion.sampler import SAMPLERS
from pixjax.evaluation.likelihood import ENDPOINTS, Canvases, counted_canvases, figures_of_bound, units
from pixjax.models.order_bound import TextReader, bound_in_order, choose, next_token_bits


def evaluate_order(
    denoiser: Denoiser,
    test: Canvases,
    blocks: str,
    *,
    validation: Canvases,
    num_times: int = 16,
    seed: int = 0,
    done: Callable[[int], None] = lambda evaluations: None,
) -> dict[str, Any]:
    """Letter by letter the exact bits of text canvases, without context; else a bound on them.

    Args:
      test: canvases and their loss masks. What is not counted is given, as is the number of tokens before PAD.
      blocks: a number of cells, one of those that the model was trained for.
      validation: others, on which it is chosen where the path of a block ends, and where to look at it.
      num_times: noisy canvases that the network reads for each canvas; letter by letter it reads each once.

    Returns:
      `bits_per_canvas`, `bits_per_token` and `bits_per_char` with their `_stderr`, `kl`, `diffusion` and
      `reconstruction` as `evaluate_likelihood` has them, `is_exact`, `passes_per_token` of sampling, and
      `canvas_bits`, of each canvas.
    """
    codec = denoiser.codec
    test, validation = counted_canvases(codec, "test", *test), counted_canvases(codec, "validation", *validation)
    reader = TextReader.named(denoiser.model, denoiser.config, blocks)
    counts = units(codec, *test, TEXT)
    is_exact = blocks == "1"
    if is_exact:
        bits = next_token_bits(reader, denoiser.params, test[0], done=done)
        nats = np.sum(bits * counted_cells(codec, test[1]), axis=1) * np.log(2)
        none, end = np.zeros((len(nats), 1)), None
        bound = Bound(kl=none[:, 0], log_snr=none, contributions=none, reconstruction=nats[:, None], endpoints=(1.0,))
    else:
        chosen = choose(reader, denoiser.params, *validation, num_times=num_times, endpoints=ENDPOINTS, seed=seed)
        end = chosen.end
        bound = bound_in_order(
            reader,
            denoiser.params,
            *test,
            num_times=num_times,
            proposal=chosen.proposal,
            endpoints=(end,),
            seed=seed,
            done=done,
        )
    return figures_of_bound(bound, counts) | {
        "is_exact": is_exact,
        "log_snr_max": end,
        "passes_per_token": passes_per_token(denoiser, blocks),
        "canvas_bits": [float(f"{value:.7g}") for value in bound.total[:, 0] / np.log(2)],
    }


def passes_per_token(denoiser: Denoiser, blocks: str) -> float:
    """Network passes, one after another, that sampling takes for each token of a canvas."""
    capacity, settings = denoiser.codec.capacity, denoiser.config.sampling
    if blocks == "1":
        return 1.0
    steps = _passes(settings)
    return steps / capacity if blocks == WHOLE else steps / int(blocks)


def passes_per_canvas(denoiser: Denoiser, blocks: str) -> int:
    """What evaluation's samples compute for a canvas, in passes of the network through all of it."""
    if blocks == "1":
        return 1  # each token goes through it once
    if blocks == WHOLE:  # guidance, of these alone, is toward a modality here: without a prompt, and without a label
        guided = denoiser.config.sampling.guidance != 1 and denoiser.config.training.type_dropout > 0
        return _passes(denoiser.config.sampling) * (2 if guided else 1)
    return _passes(denoiser.config.sampling) * -(-denoiser.codec.capacity // int(blocks))


def _passes(settings: SamplingConfig) -> int:
    return SAMPLERS[settings.sampler].predictions * (settings.steps - 1) + 1

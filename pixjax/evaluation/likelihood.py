"""The likelihood of canvases that a model never saw: bits per character, per token and per dimension.

All choices are made on validation canvases, which are noised evenly: where the path ends, how much of x̂ is the
network's, and at which log-SNRs test canvases are worth looking at. What is then measured on these is the bound of
those choices, whatever they are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import TEXT, CanvasCodec, Modality
from pixjax.diffusion.bound import Bound, Draws, Proposal, even, fitted
from pixjax.diffusion.posterior import counted_cells
from pixjax.errors import InputError
from pixjax.evaluation.model_bound import LOG_SNR_MIN, Measured, Shares, figures_of, measure_bound, unigram_log_prior

KNOTS = 25

ALONE = np.array([0.0, 1.0])  # shares of (f, the network): the network alone
KNOWN = np.array([1.0, 0.0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix:
    """The network's share at each knot of log-SNR, and linear in between; the rest is what is known without it.

    The bound holds for any x̂ that depends on the noisy canvas and its log-SNR λ alone, so for x̂' = f + a(λ)·(x̂ - f) as
    well, where f is an estimate that needs no network: of images the noisy canvas itself, brought into the range of
    colours, of text the matched filter of `diffusion/posterior.py`. a(λ) in [0, 1] is fitted on validation canvases;
    0 is f, and 1 the network.
    """

    log_snr: Float[np.ndarray, " knots"]
    network: Float[np.ndarray, " knots"]

    def shares(self, log_snr: Float[np.ndarray, "..."]) -> Float[np.ndarray, "... 2"]:
        """The shares of (f, the network)."""
        network = np.interp(log_snr, self.log_snr, self.network)
        return np.stack([1 - network, network], axis=-1)


def fit_mix(
    log_snr: Float[np.ndarray, " draws"],
    products: Float[np.ndarray, "draws 2 2"],
    low: float,
    high: float,
) -> Mix:
    """The least squares of x - f on x̂ - f around each knot, clipped to [0, 1]; neighbours stand in for a knot unseen.

    Args:
      products: as in `Draws`, of (f, the network): the inner products of x - f and x - x̂, times ½·e^λ, the weight that
        an error has in the bound.
    """
    knots = np.linspace(low, high, KNOTS)
    # x̂ - f is (x - f) - (x - x̂): what both sides of the regression need is among the products.
    known, cross, network = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
    near = np.maximum(1 - np.abs(log_snr[:, None] - knots) / (knots[1] - knots[0]), 0)
    explained, spread = (known - cross) @ near, (known - 2 * cross + network) @ near
    found = spread > 0
    if not found.any():
        return Mix(log_snr=knots, network=np.ones(KNOTS))
    share = np.clip(explained[found] / spread[found], 0, 1)
    return Mix(log_snr=knots, network=np.interp(knots, knots[found], share))


# From where no code can be read to where all can: the nearest colour is right above 3.5 for 27 letters, 13 for base256.
ENDPOINTS = (-4.0, -2.0, 0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0)
TRIED = 64  # validation canvases that are decoded at every endpoint: one noisy canvas of each says enough of a choice

Canvases = tuple[UInt8[np.ndarray, "_n height width 3"], Bool[np.ndarray, "_n height width"]]
Counts = dict[str, Float[np.ndarray, " n"]]


def evaluate_likelihood(
    denoiser: Denoiser,
    test: Canvases,
    modality: int,
    *,
    validation: Canvases,
    num_times: int = 16,
    endpoints: Sequence[float] = ENDPOINTS,
    batch_size: int = 0,
    seed: int = 0,
    done: Callable[[int], None] = lambda evaluations: None,
) -> dict[str, Any]:
    """An upper bound on the bits that canvases of one modality take, without labels and context.

    Args:
      test: canvases and their loss masks, on which the bound is measured. The marker is not counted: it is given, and
        so are PAD and the number of tokens before it.
      modality: TEXT or IMAGE, of all of them.
      validation: others, on which all choices are made, and the unigram prior counted.
      num_times: noisy canvases that the network denoises for each canvas.
      endpoints: log-SNRs, ascending, at which the path may end.
      batch_size: canvases denoised at once; 0 is `evaluation.batch_size` of the config.
      done: told after each batch how often a canvas was denoised in it; what it raises ends the measurement.

    Returns:
      Figures in `bits_per_canvas`, `bits_per_dim` and, for text, `bits_per_token` and `bits_per_char`, each with a
      standard error over canvases in `..._stderr`, `kl`, `diffusion` and `reconstruction`, their shares of
      `bits_per_canvas`, and `log_snr_max`, where the path ends:
      `network`: the network alone, and at the end a softmax over all legal colours (or levels) that decodes; that of a
        text head is its own.
      `mixed` (all but a text head, which has the matched filter in it): the network mixed with what is known
        without it, see `Mix`; the softmax that decodes text has the unigram prior of the matched filter.
      `headline` names the one whose figures stand at the top level: `mixed` where there is one. Beside them are the
      counts `canvases`, `dims`, `tokens` and `characters`; `canvas_bits`, by figure those of each canvas; `mix`, the
      network's share by log-SNR; `endpoints`, the figure at each on validation canvases, in `unit` (`bits_per_token`
      or `bits_per_dim`); and `contributions`, to be integrated over log-SNR, in the same unit per nat of it, None
      where nothing was drawn: of the figures, and of `matched_filter` (text) or `noisy_canvas` (images), what is known
      without the network.

    Raises:
      InputError: fewer than two canvases, another size, a modality that the model was not trained on, nothing to count,
        or endpoints that do not ascend.
    """
    endpoints = tuple(float(end) for end in endpoints)
    if not endpoints or list(endpoints) != sorted({LOG_SNR_MIN, *endpoints})[1:]:
        raise InputError(f"endpoints={endpoints} are no range of log-SNR: give values above {LOG_SNR_MIN}, ascending")
    if num_times < 1:
        raise InputError(f"num_times={num_times} is too few: give 1 or more")
    if modality not in denoiser.modalities:
        known = " and ".join(map(str, sorted(denoiser.modalities)))
        raise InputError(f"modality={Modality(modality)} is not what this model was trained on: it has {known}")
    codec = denoiser.codec
    test, validation = counted_canvases(codec, "test", *test), counted_canvases(codec, "validation", *validation)
    measure = functools.partial(
        measure_bound,
        denoiser,
        modality=modality,
        log_prior=unigram_log_prior(codec, *validation) if modality == TEXT else None,
        num_times=num_times,
        batch_size=batch_size,
        seed=seed,
        done=done,
    )
    figures = figures_of(denoiser, modality)
    everywhere = even(LOG_SNR_MIN, endpoints[-1])
    seen = measure(*validation, proposal=everywhere, ends=dict.fromkeys(figures, endpoints), tried=TRIED)
    unit = "token" if modality == TEXT else "dim"
    chosen = choose(seen, figures, endpoints, units(codec, *validation, modality)[f"{unit}s"])

    ends, shares, mix = chosen.ends, chosen.shares, chosen.mix
    measured = measure(*test, proposal=chosen.proposal, ends={name: (end,) for name, end in ends.items()})
    counts = units(codec, *test, modality)
    bounds = {name: measured.bound(name, share, (ends[name],)) for name, share in shares.items()}
    found = {name: {"log_snr_max": ends[name]} | figures_of_bound(bound, counts) for name, bound in bounds.items()}
    headline = figures[-1]
    curves = {name: measured.draws.integrand(share(measured.draws.log_snr)) for name, share in shares.items()}
    curves["matched_filter" if modality == TEXT else "noisy_canvas"] = measured.draws.integrand(KNOWN)
    scale = len(test[0]) / counts[f"{unit}s"].sum() / np.log(2)  # from the mean nats of a canvas
    return {
        **{name: value for name, value in found[headline].items() if name.startswith("bits")},
        "headline": headline,
        **found,
        **{name: round(float(count.sum())) for name, count in counts.items()},
        "canvas_bits": {name: _rounded(bound.total[:, 0] / np.log(2)) for name, bound in bounds.items()},
        "num_times": num_times,
        "log_snr_min": LOG_SNR_MIN,
        "unit": f"bits_per_{unit}",
        **({"mix": {"log_snr": mix.log_snr.tolist(), "network": mix.network.tolist()}} if "mixed" in figures else {}),
        "endpoints": {"log_snr": list(endpoints)} | {name: table.tolist() for name, table in chosen.tables.items()},
        "contributions": _contributions(measured.draws, curves, chosen.proposal.edges, scale),
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choices:
    """What validation canvases decide, for each figure: the shares in x̂, where the path ends, and where to look."""

    mix: Mix
    shares: dict[str, Shares]
    tables: dict[str, Float[np.ndarray, " endpoints"]]  # the figure at each endpoint
    ends: dict[str, float]
    proposal: Proposal


def choose(
    seen: Measured, figures: Sequence[str], endpoints: tuple[float, ...], units: Float[np.ndarray, " n"]
) -> Choices:
    """From canvases that were noised evenly up to the last endpoint, and how many units each has."""
    draws = seen.draws
    mix = fit_mix(draws.log_snr.ravel(), draws.products.reshape(-1, 2, 2), LOG_SNR_MIN, endpoints[-1])
    shares = {name: {"network": lambda _: ALONE, "mixed": mix.shares}[name] for name in figures}
    tables = {name: _by_endpoint(seen.bound(name, share, endpoints), units) for name, share in shares.items()}
    ends = {name: endpoints[int(np.argmin(table))] for name, table in tables.items()}
    # Each figure counts as far as its own path reaches; beyond, its error is multiplied out of all bounds.
    reached = [draws.integrand(shares[name](draws.log_snr)) * (draws.log_snr < end) for name, end in ends.items()]
    integrand = np.mean(reached, axis=0)
    proposal = fitted(draws.log_snr.ravel(), integrand.ravel(), LOG_SNR_MIN, max(ends.values()))
    return Choices(mix=mix, shares=shares, tables=tables, ends=ends, proposal=proposal)


def _by_endpoint(bound: Bound, units: Float[np.ndarray, " n"]) -> Float[np.ndarray, " endpoints"]:
    """Bits a unit at each endpoint; the decoder's from the canvases on which it was tried."""
    path = (bound.kl[:, None] + bound.diffusion).sum(axis=0) / units.sum()
    tried = len(bound.reconstruction)
    return (path + bound.reconstruction.sum(axis=0) / units[:tried].sum()) / np.log(2)


def counted_canvases(codec: CanvasCodec, name: str, canvases, mask) -> Canvases:
    """The canvases, and the mask without the marker."""
    shape = (len(canvases), codec.canvas_size, codec.canvas_size)
    if canvases.shape != (*shape, 3) or mask.shape != shape or canvases.dtype != np.uint8:
        raise InputError(
            f"{name} canvases {canvases.shape} of {canvases.dtype} and masks {mask.shape} do not fit: "
            f"give uint8 {(*shape, 3)} and {shape}"
        )
    if len(canvases) < 2:
        raise InputError(f"{len(canvases)} {name} canvas(es) have no standard error: give at least 2")
    mask = mask & ~codec.marker_pixels
    if not mask.any():
        raise InputError(f"the masks of the {name} canvases count no pixel: give canvases that hold something")
    return canvases, mask


def units(codec: CanvasCodec, canvases, mask, modality: int) -> Counts:
    """How many of each unit are on each canvas."""
    counts = {"canvases": np.ones(len(canvases)), "dims": 3.0 * mask.sum(axis=(1, 2))}
    if modality != TEXT:
        return counts
    counted = counted_cells(codec, mask)
    tokens = counted.sum(axis=1).astype(float)
    # Canvases part words and letters of several bytes, and do not follow one another: each character counts where it
    # begins, and all of them are spread over the tokens. An EOS is no character.
    characters = codec.count_characters(codec.nearest_ids(canvases)[counted])
    return counts | {"tokens": tokens, "characters": tokens * (characters / tokens.sum())}


def figures_of_bound(bound: Bound, counts: Counts) -> dict[str, float]:
    """The figures of a path that ends at the only endpoint of the bound."""
    terms = {
        "kl": bound.kl / np.log(2),
        "diffusion": bound.diffusion[:, 0] / np.log(2),
        "reconstruction": bound.reconstruction[:, 0] / np.log(2),
    }
    figures = {name: float(np.mean(term)) for name, term in terms.items()}
    bits = sum(terms.values())
    for name, unit in (("canvases", "canvas"), ("dims", "dim"), ("tokens", "token"), ("characters", "char")):
        if name in counts and counts[name].sum():
            figures |= _ratio(f"bits_per_{unit}", bits, counts[name])
    return figures


def _rounded(values: Float[np.ndarray, " n"]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _ratio(name: str, values: Float[np.ndarray, " n"], counts: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Sum over sum, and its standard error to first order (Cochran 1977, 6.4), as canvases differ in length."""
    ratio = values.sum() / counts.sum()
    residual = values - ratio * counts
    n = len(values)
    stderr = np.sqrt(n / (n - 1) * np.sum(residual**2)) / counts.sum()
    return {name: float(ratio), f"{name}_stderr": float(stderr)}


def _contributions(
    draws: Draws,
    curves: Mapping[str, Float[np.ndarray, "n times"]],
    edges: Float[np.ndarray, " bins_and_one"],
    scale: float,
) -> dict[str, list[float | None]]:
    """The mean integrand of each bin of log-SNR, times `scale`."""
    drawn, _ = np.histogram(draws.log_snr, edges)
    result: dict[str, list[float | None]] = {"log_snr": [float(centre) for centre in (edges[:-1] + edges[1:]) / 2]}
    for name, integrand in curves.items():
        total, _ = np.histogram(draws.log_snr, edges, weights=integrand)  # within a bin the density is constant
        result[name] = [float(s / n * scale) if n else None for s, n in zip(total, drawn, strict=True)]
    return result

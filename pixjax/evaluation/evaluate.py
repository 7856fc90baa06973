"""The measurements of a checkpoint; each is kept as it is done, and not made again."""

import dataclasses
import functools
import hashlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import IMAGE, TEXT, Modality
from pixjax.config import SamplingConfig
from pixjax.diffusion import WHOLE
from pixjax.diffusion.posterior import counted_cells
from pixjax.errors import InputError
from pixjax.evaluation.denoising import denoising_curves
from pixjax.evaluation.external_networks import NO_REFERENCE_NETWORKS, ReferenceNetworks
from pixjax.evaluation.held_out import HeldOutData
from pixjax.evaluation.inception import LAYER, RESIZE
from pixjax.evaluation.likelihood import evaluate_likelihood
from pixjax.evaluation.order_likelihood import evaluate_order, passes_per_canvas, passes_per_token
from pixjax.evaluation.perplexity import perplexity
from pixjax.evaluation.references import ngram_scale
from pixjax.evaluation.result_cache import ResultCache
from pixjax.evaluation.sample_quality import (
    halves,
    image_quality,
    inception_quality,
    sample_texts,
    tag_accuracy,
    text_quality,
)
from pixjax.models import NO_LABEL, predict, tell
from pixjax.sampling.checks import require_possible
from pixjax.sampling.generate import Generated, generate
from pixjax.sampling.request import ModalityChoice
from pixjax.training.mesh import batch_sharding

# Text has bits per dimension too, but only those of images are what others report.
HEADLINES = {TEXT: ("bits_per_char", "bits_per_token"), IMAGE: ("bits_per_dim",)}

CANVAS_BITS = "canvas_bits"  # a key of `metrics.json`: what each canvas took, to compare two models canvas by canvas
FRAMES = 10  # of a trajectory
FILMED = 8  # samples whose trajectory is kept


class Stopped(Exception):
    """The user wants to stop; the measurements that are done are kept."""


@dataclasses.dataclass
class EvaluationCounter:
    """Counts how often a canvas was denoised, and ends the work when it is to stop."""

    stop: Callable[[], bool] = lambda: False
    evaluations: int = 0

    def __call__(self, evaluations: int) -> None:
        self.evaluations += evaluations
        if self.stop():
            raise Stopped


def measure(
    denoiser: Denoiser,
    raw: Denoiser | None,
    data: HeldOutData,
    results: ResultCache,
    references: ResultCache,
    *,
    networks: ReferenceNetworks = NO_REFERENCE_NETWORKS,
    seed: int = 0,
    counter: EvaluationCounter | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], dict[str, Generated]]:
    """Likelihood, denoising curves and samples of a model.

    Args:
      denoiser: of an average of the parameters; its config says how much is measured, and how canvases are sampled.
      raw: the same without averaging, for the denoising curves; None where it is not kept.
      data: what it is measured on.
      results: where they are kept.
      references: where figures of the data alone are kept.
      networks: of others that samples are measured by besides.
      seed: of noise and samples.
      say: gets a line for each measurement.

    Returns:
      The contents of `metrics.json`, JSON types: `bits_per_char`, `bits_per_token` and `bits_per_dim` with their
      `_stderr`, and below `text` and `image`, `likelihood`, `denoising` and `samples`; `canvas_bits`, by
      modality and by figure of its likelihood, the bits of each test canvas; `references`; `seconds`, `evaluations`
      and `forward_share`; `notes` on what is missing. And the samples, by what was asked for.

    Raises:
      Stopped: the counter says so.
    """
    counter = counter or EvaluationCounter()
    metrics: dict[str, Any] = {"step": denoiser.step}
    notes = list(data.notes)
    seconds: dict[str, float] = {}

    def measured(name: str, measure: Callable[[], Any], kept: ResultCache = results) -> Any:
        began = time.monotonic()
        value = kept.get(name, measure)
        seconds[name] = time.monotonic() - began
        say(f"{name}: {seconds[name]:.1f} s")
        return value

    for modality in sorted(denoiser.modalities):
        name = str(Modality(modality))
        metrics[name] = {}
        if modality not in data.test or modality not in data.validation:
            continue
        orders = _orders(denoiser) if modality == TEXT else [WHOLE]
        if modality == TEXT and orders != [WHOLE]:
            metrics |= _by_blocks(denoiser, data, orders, seed, counter, measured, metrics)
        if WHOLE not in orders:
            continue
        likelihood = measured(
            f"{name}_likelihood", functools.partial(_likelihood, denoiser, data, modality, seed, counter)
        )
        metrics[name]["likelihood"] = {key: value for key, value in likelihood.items() if key != CANVAS_BITS}
        metrics.setdefault(CANVAS_BITS, {}).setdefault(name, {}).update(likelihood[CANVAS_BITS])
        headlines = HEADLINES[modality]
        found = {key: value for key, value in likelihood.items() if key.removesuffix("_stderr") in headlines}
        if "by_blocks" in metrics[name]:
            whole = found | {"is_exact": False, "passes_per_token": passes_per_token(denoiser, WHOLE)}
            metrics[name]["by_blocks"] |= {WHOLE: whole}
        if orders[0] == WHOLE:
            metrics |= found
        for label, model in (("average", denoiser), ("raw", raw)):
            if model is not None and denoiser.config.evaluation.denoising:
                curves = functools.partial(_denoising, model, data, modality, seed, counter)
                metrics[name].setdefault("denoising", {})[label] = measured(f"{name}_denoising_{label}", curves)
    samples: dict[str, Generated] = {}
    for choice in _kinds(denoiser):
        try:
            settings = require_possible(denoiser, choice)
        except InputError as error:
            notes.append(str(error))
            continue
        if not denoiser.config.evaluation.samples:
            continue
        began = time.monotonic()
        samples[choice] = _samples(denoiser, choice, settings, results, seed, counter)
        seconds[f"{choice}_samples"] = time.monotonic() - began
        say(f"{choice} samples: {seconds[f'{choice}_samples']:.1f} s")

    measured_seconds = sum(seconds.values())
    metrics["evaluations"] = counter.evaluations
    if counter.evaluations:
        metrics["forward_share"] = counter.evaluations * _seconds_per_canvas(denoiser) / measured_seconds
    if "text" in samples and data.training_text:
        metrics["text"]["samples"] = measured("text_quality", lambda: text_quality(denoiser, samples, data))
        if language_model := networks.language_model:
            texts, (_, held_out) = sample_texts(denoiser, samples), halves(data.test_text)
            of_language_model = measured(
                "text_perplexity",
                lambda: perplexity(language_model, texts, held_out, check=lambda: counter(0)),
                results.also(language_model=language_model.sha256),
            )
            # First, so that it stands beside the entropies, without which it says nothing.
            metrics["text"]["samples"] = of_language_model | metrics["text"]["samples"]
    if "image" in samples and IMAGE in data.test:
        quality = metrics["image"]["samples"] = measured("image_quality", lambda: image_quality(samples, data))
        if inception := networks.inception:
            by_features = {"weights": inception.sha256, "layer": LAYER, "resize": RESIZE}
            more = measured(
                "image_inception",
                lambda: inception_quality(inception, samples, data, references.also(**by_features), lambda: counter(0)),
                results.also(**by_features),
            )
            both = {name: quality[name] | more[name] for name in ("held_out", "held_out_spread")}
            metrics["image"]["samples"] = quality | more | both
    if any(choice in samples for choice in ("any", "text")) and len(denoiser.modalities) > 1:
        metrics["tags"] = measured("tags", lambda: tag_accuracy(denoiser, samples, data))
    if data.training_text and TEXT in data.test and (texts := _test_texts(denoiser, data)):
        digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
        measure = functools.partial(_ngrams, data.training_text, texts)
        metrics["references"] = {"ngrams": measured("ngrams", measure, references.also(test=digest))}
    return metrics | {"seconds": seconds, "notes": notes}, samples


def _orders(denoiser: Denoiser) -> list[str]:
    """The orders in which text is measured, the headline first."""
    trained = list(denoiser.config.diffusion.blocks.shares)
    orders = list(denoiser.config.evaluation.blocks or trained)
    if unknown := [name for name in orders if name not in trained]:
        raise InputError(f"--blocks={unknown[0]}: this model was trained for diffusion.blocks.text={','.join(trained)}")
    return orders


def _by_blocks(
    denoiser: Denoiser, data: HeldOutData, orders: list[str], seed: int, counter: EvaluationCounter, measured, metrics
):
    """Bits of text in each order but the whole; the first of them is the headline, which says so in `blocks`."""
    test, validation = data.test[TEXT], data.validation[TEXT]
    found: dict[str, Any] = {}
    for name in orders:
        if name == WHOLE:
            continue
        measure = functools.partial(
            evaluate_order,
            denoiser,
            (test.canvases, test.mask),
            name,
            validation=(validation.canvases, validation.mask),
            num_times=denoiser.config.evaluation.num_times,
            seed=seed,
            done=counter,
        )
        found[name] = dict(measured(f"text_blocks_{name}", measure))
        bits = metrics.setdefault(CANVAS_BITS, {}).setdefault("text", {})
        bits[f"blocks={name}"] = found[name].pop(CANVAS_BITS)
    metrics["text"] |= {"by_blocks": found}
    headline = found.get(orders[0], {})
    figures = {key: value for key, value in headline.items() if key.removesuffix("_stderr") in HEADLINES[TEXT]}
    return figures | {"blocks": orders[0]}


def _test_texts(denoiser: Denoiser, data: HeldOutData) -> list[str]:
    """What is written on the canvases that bits are measured on, without halves of letters at their edges."""
    codec, test = denoiser.codec, data.test[TEXT]
    ids, counted = codec.nearest_ids(test.canvases), counted_cells(codec, test.mask)
    # Where PAD is drawn as a space, those at the end of a canvas are letters that bits are counted of as well.
    read = codec.text_tokenizer.decode if codec.pad_id == codec.eos_id else codec.detokenize
    texts = [read(row[here]).strip("\ufffd") for row, here in zip(ids, counted, strict=True)]
    return [text for text in texts if text]


def _ngrams(training_text: str, texts: list[str]) -> dict[str, float]:
    return {str(n): bits for n, bits in ngram_scale(training_text, texts).items()}


def _likelihood(
    denoiser: Denoiser, data: HeldOutData, modality: int, seed: int, counter: EvaluationCounter
) -> dict[str, Any]:
    test, validation = data.test[modality], data.validation[modality]
    return evaluate_likelihood(
        denoiser,
        (test.canvases, test.mask),
        modality,
        validation=(validation.canvases, validation.mask),
        num_times=denoiser.config.evaluation.num_times,
        seed=seed,
        done=counter,
    )


def _denoising(
    denoiser: Denoiser, data: HeldOutData, modality: int, seed: int, counter: EvaluationCounter
) -> dict[str, list[float]]:
    test = data.test[modality]
    devices = denoiser.mesh.size
    curves = denoising_curves(
        jax.tree_util.Partial(TaggedPredictor(denoiser), denoiser.params),
        denoiser.codec,
        test.canvases,
        np.full(len(test), modality, np.int32),
        test.mask,
        noise_scale=denoiser.config.diffusion.noise_scale,
        seed=seed,
        batch_size=-(-denoiser.config.evaluation.batch_size // devices) * devices,
        sharding=batch_sharding(denoiser.mesh),
        done=counter,
    )
    return {name: values.tolist() for name, values in curves.items()}


class TaggedPredictor:
    """Denoising where the modality is told; equal for equal models, so that jit compiles it once."""

    def __init__(self, denoiser: Denoiser):
        self._model, self._config, self._codec = denoiser.model, denoiser.config, denoiser.codec

    def __call__(self, params, z, t, modality):
        z, type_id = tell(self._config, self._codec, z, modality)
        return predict(self._model, params, z, t, type_id, jnp.full(len(z), NO_LABEL, jnp.int32))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaggedPredictor) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self._model, self._config))


def _kinds(denoiser: Denoiser) -> tuple[ModalityChoice, ...]:
    """What samples are asked for: each modality, and, of a model that marks them, whatever it chooses to make."""
    kinds: tuple[ModalityChoice, ...] = tuple(str(m) for m in sorted(denoiser.modalities))  # type: ignore[misc]
    return (*kinds, "any") if len(kinds) > 1 and denoiser.codec.marker else kinds


def _samples(
    denoiser: Denoiser,
    choice: ModalityChoice,
    settings: SamplingConfig,
    results: ResultCache,
    seed: int,
    counter: EvaluationCounter,
) -> Generated:
    def make() -> dict[str, np.ndarray]:
        num = denoiser.config.evaluation.samples
        steps = np.unique(np.linspace(0, settings.steps - 1, FRAMES).astype(int)).tolist()
        made = generate(denoiser, choice, num, settings=settings, seed=seed, trajectory=steps, stop=counter.stop)
        counter(num * passes_per_canvas(denoiser, settings.blocks.text if choice == "text" else WHOLE))
        shown = {"frames": made.frames[:FILMED], "frame_times": made.frame_times[:FILMED]}
        return vars(made) | shown

    return Generated(**results.get_arrays(f"{choice}_samples", make))


def _seconds_per_canvas(denoiser: Denoiser, repeats: int = 5) -> float:
    """The time of a bare forward pass at the size of evaluation's batches, which all else is compared with."""
    batch = -(-denoiser.config.evaluation.batch_size // denoiser.mesh.size) * denoiser.mesh.size
    size = denoiser.config.model.canvas_size
    inputs = (np.zeros((batch, size, size, 3), np.float32), np.full(batch, 0.5, np.float32))
    inputs = jax.device_put(inputs, batch_sharding(denoiser.mesh))
    forward = jax.jit(predict, static_argnums=0)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(forward(denoiser.model, denoiser.params, *inputs))
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) / batch

"""From a workdir to `metrics.json`, `samples/` and `report.html`, for `evaluate` and for every run of a study."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
from etils import epath

from pixjax.checkpoints.load import keeps_raw, load
from pixjax.checkpoints.provenance import versions
from pixjax.checkpoints.run_files import find_workdir
from pixjax.config import require_seed
from pixjax.config_file import Overrides, with_overrides
from pixjax.data.uri import SourceUri
from pixjax.evaluation.evaluate import EvaluationCounter, measure
from pixjax.evaluation.external_networks import load_reference_networks, require_there
from pixjax.evaluation.held_out import own_test, read_held_out
from pixjax.evaluation.references import read_baselines
from pixjax.evaluation.result_cache import ResultCache
from pixjax.paths import local_path, reachable_path
from pixjax.report import write_report
from pixjax.report.evaluation_report import evaluation_report
from pixjax.sampling.samples import write_samples

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"


def evaluate(
    workdir: str | os.PathLike,
    out: str | os.PathLike,
    overrides: Overrides = (),
    *,
    ema: str = "",
    step: int | None = None,
    seed: int = 0,
    baselines: Sequence[str | os.PathLike] = (),
    references: epath.Path | None = None,
    inception: str | os.PathLike | None = None,
    language_model: str | os.PathLike | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measures a checkpoint, and writes `metrics.json`, `report.html` and `samples/` into `out`.

    Args:
      workdir: of a training run, or `pretrained:NAME`.
      out: a folder. What it holds of an evaluation that was stopped is not measured again.
      overrides: of the stored config, as in `load_config`: `{"evaluation.samples": 16}`. Where they change no test
        sources, those of a modality that the model was not trained on are left out.
      ema, step: as in `load`.
      seed: of noise and samples.
      baselines: files that the programs in `benchmarks/baselines` wrote, to read the figures beside.
      references: where figures of the data alone are kept, for runs that share it; in `out` unless given.
      inception: weights of torch-fidelity's network, for FID, KID and more.
      language_model: a folder of Hugging Face format, for the perplexity of samples.
      stop: asked between batches.
      say: told what is missing, and what was measured in how many seconds.

    Returns:
      What is in `metrics.json`: `bits_per_char`, `bits_per_token` and `bits_per_dim` with their `_stderr`, all else
      below `text` and `image`, and `notes` on what is missing.

    Raises:
      InputError: no workdir or checkpoint, a change that is not possible, a test or validation source that is not the
        name of one, or a path that leads nowhere. What can be measured without the rest is.
      Stopped: `stop` said so; the measurements that are done are kept in `out`.
    """
    require_seed(seed)
    run, folder = find_workdir(workdir), reachable_path(out, "--out")
    beside = read_baselines(baselines)
    weights = None if inception is None else local_path(inception, "--inception")
    reader = None if language_model is None else local_path(language_model, "--language-model")
    require_there(weights, reader)
    denoiser = load(run, ema=ema, step=step)
    config = with_overrides(denoiser.config, {"evaluation.test": own_test(denoiser.config)})
    config = with_overrides(config, overrides)
    for uri in (*config.evaluation.test, *config.evaluation.validation):
        SourceUri.parse(uri)  # a source that is gone is a note, a misspelt one an error
    denoiser = dataclasses.replace(denoiser, config=config)
    raw = None
    if config.evaluation.denoising and keeps_raw(run, denoiser.step):
        raw = dataclasses.replace(load(run, ema="none", step=denoiser.step), config=config)
    folder.mkdir(parents=True, exist_ok=True)

    data = read_held_out(config, denoiser.codec, denoiser.modalities)
    networks, notes = load_reference_networks(weights, reader, denoiser.modalities, data)
    if config.evaluation.denoising and raw is None:
        notes += ("only an average of the parameters is kept: denoising is not shown without averaging",)
    data = dataclasses.replace(data, notes=data.notes + notes)
    for note in data.notes:
        say(f"note: {note}")
    facts = {"sources": config.data.sources, "test": config.evaluation.test, "codec": denoiser.codec.to_dict()}
    metrics, samples = measure(
        denoiser,
        raw,
        data,
        ResultCache.of(
            folder / "parts",
            workdir=str(run),
            step=denoiser.step,
            ema=ema,
            seed=seed,
            config=config.to_dict(),
            code=versions()["source_sha256"],
        ),
        ResultCache.of(references or folder / "parts", characters=config.evaluation.reference_characters, **facts),
        networks=networks,
        seed=seed,
        counter=EvaluationCounter(stop=stop),
        say=say,
    )
    for choice, made in samples.items():
        write_samples(folder / "samples" / choice, made, denoiser.codec)
    (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    environment = versions() | {"devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}
    report = evaluation_report(run, denoiser, metrics, samples, data, baselines=beside, environment=environment)
    write_report(folder / REPORT_FILE, report)
    return metrics

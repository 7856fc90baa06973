"""From a workdir to `metrics.json`, `samples/` and `report.html`: what `evaluate` and every run of a study do."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from pixjax.data.uri import SourceUri
from pixjax.evaluation.evaluate import Meter, evaluate
from pixjax.evaluation.evaluation_report import evaluation_report
from pixjax.evaluation.held_out import gather, own_test
from pixjax.evaluation.judges import load_judges, require_there
from pixjax.evaluation.parts import Parts
from pixjax.evaluation.references import Reference
from pixjax.evaluation.report import write_report
from pixjax.evaluation.restore import keeps_raw, load
from pixjax.evaluation.samples import write_samples
from pixjax.training.provenance import versions

METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"


def evaluate_workdir(
    workdir: epath.Path,
    out: epath.Path,
    *,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    ema: str = "",
    step: int | None = None,
    seed: int = 0,
    baselines: Sequence[Reference] = (),
    references: epath.Path | None = None,
    inception: pathlib.Path | None = None,
    language_model: pathlib.Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measures a checkpoint and writes all that is to be kept of it into `out`.

    Args:
      changes: of the stored config, by section: `{"evaluation": {"samples": 16}}`. Where they change no test sources,
        those that are no part of what was trained on are left out, see `own_test`.
      ema, step: as in `load`.
      references: where figures of the data alone are kept, for runs that share it; in `out` unless given.
      inception: weights, and `language_model` a folder: what samples are judged by besides, see `load_judges`.
      stop: asked between batches.

    Returns:
      What is in `metrics.json`, see `evaluate`.

    Raises:
      InputError: no workdir or checkpoint, a change that is not possible, a test or validation source that is not the
        name of one, or a judge's path that leads nowhere. What can be measured without the rest is.
      Stopped: `stop` said so; the parts that are done are kept in `out`.
    """
    require_there(inception, language_model)
    denoiser = load(workdir, ema=ema, step=step)
    values = denoiser.config.to_dict()
    values["evaluation"]["test"] = own_test(denoiser.config)
    for section, settings in (changes or {}).items():
        values[section] |= settings
    config = type(denoiser.config).from_dict(values)
    for uri in (*config.evaluation.test, *config.evaluation.validation):
        SourceUri.parse(uri)  # a source that is gone is a note, a misspelt one an error
    denoiser = dataclasses.replace(denoiser, config=config)
    raw = None
    if keeps_raw(workdir, denoiser.step):
        raw = dataclasses.replace(load(workdir, ema="none", step=denoiser.step), config=config)
    out.mkdir(parents=True, exist_ok=True)

    material = gather(config, denoiser.codec, denoiser.modalities)
    judges, notes = load_judges(inception, language_model, denoiser.modalities, material)
    if raw is None:
        notes += ("only an average of the parameters is kept: denoising is not shown without averaging",)
    material = dataclasses.replace(material, notes=material.notes + notes)
    for note in material.notes:
        say(f"note: {note}")
    data = {"sources": config.data.sources, "test": config.evaluation.test, "codec": denoiser.codec.to_dict()}
    metrics, samples = evaluate(
        denoiser,
        raw,
        material,
        Parts.of(
            out / "parts",
            workdir=str(workdir),
            step=denoiser.step,
            ema=ema,
            seed=seed,
            config=config.to_dict(),
            code=versions()["source_sha256"],
        ),
        Parts.of(references or out / "parts", characters=config.evaluation.reference_characters, **data),
        judges=judges,
        seed=seed,
        meter=Meter(stop=stop),
        say=say,
    )
    for wanted, made in samples.items():
        write_samples(out / "samples" / wanted, made, denoiser.codec)
    (out / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    environment = versions() | {"devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}
    report = evaluation_report(
        workdir, denoiser, metrics, samples, material, baselines=baselines, environment=environment
    )
    write_report(out / REPORT_FILE, report)
    return metrics

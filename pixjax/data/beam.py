"""Preparation beyond one machine: the same shards, made as an Apache Beam pipeline.

The workers write the finished shards and their notes themselves, to a folder that all of them reach (gs://,
s3:// or a shared disk), so that a pipeline that was stopped goes on like any other preparation.
"""

import importlib.util
import shlex
from collections.abc import Iterator

from pixjax.data.preparation import Preparation
from pixjax.data.prepare import make_shard
from pixjax.data.shards import Shard
from pixjax.errors import InputError, RunError


def require_beam(runner: str) -> None:
    """Raises `InputError` where Apache Beam is not installed."""
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError(f"--runner={runner} needs Apache Beam: pip install pixjax[beam]")


def make_on_beam(job: Preparation, numbers: list[int], *, runner: str, options: str = "") -> Iterator[Shard]:
    """Makes the shards; nothing is known of one before the whole pipeline has run.

    runner: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner. options: further flags of the pipeline, as
    on a command line.
    """
    require_beam(runner)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    if not numbers:
        return
    flags = PipelineOptions([f"--runner={runner}", *shlex.split(options)])
    try:
        with beam.Pipeline(options=flags) as pipeline:
            _ = (
                pipeline
                | "shard numbers" >> beam.Create(numbers)
                | "spread" >> beam.Reshuffle()
                | "make shards" >> beam.Map(lambda number: _make(job, number))
            )
    except ValueError as error:
        raise InputError(f"Beam refuses --runner={runner} {options}: {' '.join(str(error).split())[:300]}") from None
    except RuntimeError as error:
        raise RunError(f"the Beam pipeline failed: {' '.join(str(error).split())[:300]}") from error
    yield from ()


def _make(job: Preparation, number: int) -> int:
    make_shard(job, number)
    return number

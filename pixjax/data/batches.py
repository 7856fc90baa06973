"""The iterator over batches that training uses: the pure plan, run ahead of the step by grain."""

import contextlib
import functools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Any

import grain
import numpy as np

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data.bad_records import BadPictures
from pixjax.data.batch_plan import Batch, BatchPlan, make_plan
from pixjax.data.labels import all_class_names, require_same_classes, source_classes, source_notes
from pixjax.data.source_identity import changed_content, moved_sources, source_state
from pixjax.data.worker import ENDING, require_guard, start_worker
from pixjax.errors import InputError, RunError

# Batches that wait, ready, in each process.
_READY = 2

# Smaller fields go through a pipe: a shared memory segment for each would cost more.
_SHARED_BYTES = 2**16


def make_batches(
    config: Config, codec: CanvasCodec, *, shard_index: int = 0, shard_count: int = 1, start_step: int = 0
) -> "BatchIterator":
    """The endless stream of this host's share of the global batches, rows `shard_index·b … (shard_index+1)·b
    - 1`.

    A batch is a dict of NumPy arrays: `canvas` uint8 [b, H, W, 3], `modality` int32 [b] (TEXT or IMAGE),
    `label` int32 [b] (-1: none), `loss_mask` bool [b, H, W], and `skipped` int32 [b, len(CAUSES)]: how many
    pictures were passed over for this row, by cause (`pixjax.data.CAUSES`). For a model with K canvases of context
    also `context` uint8 [b, K, H, W, 3], `context_present` bool [b, K] and `context_modality` int32 [b, K] (-1:
    none). It is a function of `config.training.seed` and the step alone, whatever the number of hosts or
    workers.

    Raises:
      InputError: sources that cannot be read, or none of which has the context that the model is built for; workers
        asked for by a script that does not guard its `__main__`.
    """
    if config.data.workers:
        require_guard(f"data.workers={config.data.workers}")
    plan = make_plan(config, codec, shard_index=shard_index, shard_count=shard_count)
    if plan.context_canvases and not any(plan.has_context(source) for source in plan.sources):
        raise InputError(
            f"model.context_canvases={plan.context_canvases} and no source has a context: add one of pairs: or "
            "captions:, set data.context_pages=1 for the pages of texts, or model.context_canvases=0"
        )
    return BatchIterator(
        plan,
        workers=config.data.workers,
        max_bad_fraction=config.data.max_bad_fraction,
        start_step=start_step,
    )


class BatchIterator:
    """Batches in order, made ahead of time. Close it, or use it as a context manager."""

    def __init__(self, plan: BatchPlan, *, workers: int, max_bad_fraction: float, start_step: int = 0):
        self._plan = plan
        self._workers = workers
        self._bad = BadPictures(plan.sources, max_bad_fraction)
        self._batches: Any = None
        self.step = start_step  # of the next batch
        self.wait_seconds = 0.0  # spent in `next`, all in all: a training step waited this long for data

    def __iter__(self) -> "BatchIterator":
        return self

    def __next__(self) -> Batch:
        began = time.perf_counter()
        batch = self._next()
        if self._workers:  # copied, or the workers' shared memory would live as long as whoever keeps a batch
            batch = {name: np.array(field) for name, field in batch.items()}
        try:
            self._bad.note(batch.pop("bad").tolist())
        except RunError:
            self.close()
            raise
        self.step += 1
        self.wait_seconds += time.perf_counter() - began
        return batch

    def _next(self) -> Batch:
        try:
            if self._batches is not None:
                return next(self._batches)
            self._batches = batches = _run_ahead(self._plan, self.step, self._workers)
            return _shielded(lambda: next(batches)) if self._workers else next(batches)
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):
                raise
            raise RunError(
                f"a data worker died at step {self.step}, killed or out of memory: lower data.workers or "
                "data.batch_size"
            ) from None

    @property
    def skipped(self) -> Counter[str]:
        """Pictures passed over by this host since the beginning of the run, by cause."""
        return self._bad.skipped

    @property
    def notes(self) -> list[str]:
        """What a user should know of the sources: their classes, what is doubtful about their files, and how much of
        a text the tokenizer loses that rewrites it.
        """
        covered = [(source.uri, getattr(source, "coverage", None)) for source in self._plan.sources]
        lost = [f"{uri}: {coverage}" for uri, coverage in covered if coverage is not None and coverage.characters]
        return source_notes(self._plan.sources, self._plan.num_classes) + lost

    @property
    def class_names(self) -> list[str | None]:
        """The name of each label, as far as it has one; empty for a model without classes."""
        return all_class_names(self._plan.sources, self._plan.num_classes)

    def get_state(self) -> dict[str, Any]:
        """JSON-able, and the same on every host but for `skipped` and `bad_records`.

        These two are of this host's rows alone: hosts do not talk to each other here. A checkpoint keeps one
        host's, and all of them go on from that.
        """
        return {
            "next_step": self.step,
            "sources": self._sources,
            "classes": source_classes(self._plan.sources),
            **self._bad.get_state(),
        }

    @functools.cached_property
    def _sources(self) -> dict[str, dict[str, Any]]:
        return source_state(self._plan.sources)

    def set_state(self, state: dict[str, Any]) -> list[str]:
        """Goes on where `get_state` was taken, there or on any other number of hosts and workers.

        Returns:
          What to tell the user: sources that lie elsewhere now.

        Raises:
          InputError: a source has another size or other classes than it had then, or lies elsewhere and has other
            content: its batches would be others.
        """
        try:
            step = int(state["next_step"])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"{state!r} is not the state of a batch iterator: next_step is missing") from None
        notes: list[str] = []
        moved: dict[str, str] = {}
        if "sources" in state:
            moved = moved_sources(state["sources"], self._sources)
            notes = [f"note: {new} has the content of {old}, which this run began with" for old, new in moved.items()]
            notes += [
                f"note: {uri} has other content of equal size than when the run was saved: were files mended?"
                for uri in changed_content(state["sources"], self._sources)
            ]
        if "classes" in state:
            require_same_classes(state["classes"], self._plan.sources)
        self.close()
        self.step = step
        bad = state.get("bad_records", {})
        self._bad.set_state(state | {"bad_records": {moved.get(uri, uri): records for uri, records in bad.items()}})
        return notes

    def close(self) -> None:
        """Stops the workers. The next batch starts them again."""
        if self._batches is not None:
            with contextlib.suppress(ValueError):
                self._batches.close()
            self._batches = None

    def __enter__(self) -> "BatchIterator":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _run_ahead(plan: BatchPlan, start_step: int, workers: int):
    """Grain's iterator over `plan[start_step:]`. Its element is a whole batch: records cost no overhead."""
    read = grain.ReadOptions(num_threads=1 if workers else 2, prefetch_buffer_size=_READY)
    batches = grain.MapDataset.source(plan)[start_step:].to_iter_dataset(read)
    if workers:
        _parse_absl_flags()
        shared_memory = grain.experimental.DatasetOptions(min_shm_size=_SHARED_BYTES)
        batches = grain.experimental.WithOptionsIterDataset(batches, shared_memory)
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=_READY)
        batches = batches.mp_prefetch(options, worker_init_fn=_start_worker)
    return iter(batches)


def _shielded(function: Callable[[], Batch]) -> Batch:
    """Calls it where no signal to end reaches. What it starts inherits that: workers are not ended at their imports,
    where CPython would wait for ever to hand the rest of its start-up data to one that is gone.
    """
    outcome: Future[Batch] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    resource_tracker.ensure_running()  # or the first use of it would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        threading.Thread(target=run, daemon=True).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return outcome.result()


def _parse_absl_flags() -> None:
    # Grain reads flags in its workers and refuses to until they are parsed.
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _start_worker(_index: int, _count: int) -> None:
    start_worker()

"""The training run, top to bottom."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from pixjax import peers
from pixjax.checkpoints.checkpoint import DamagedCheckpoint, saved_steps
from pixjax.checkpoints.lock import WorkdirLock
from pixjax.checkpoints.run_files import CONFIG_FILE, new_workdir, write_run
from pixjax.checkpoints.writer import CheckpointWriter
from pixjax.chips import peak_flops
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.errors import InputError, RunError
from pixjax.models import Params
from pixjax.streams import PATIENCE, safe
from pixjax.training.agreement import require_agreement
from pixjax.training.anomalies import BAD_BATCH_FILE, SkippedUpdates, Spikes
from pixjax.training.computation import flops_per_canvas
from pixjax.training.finetune import origin_state, params_from
from pixjax.training.mesh import batch_sharding, make_mesh
from pixjax.training.metrics import Window
from pixjax.training.placement import place_batch
from pixjax.training.profile import Profile
from pixjax.training.programs import programs_of
from pixjax.training.reporter import Reporter
from pixjax.training.saver import Saver
from pixjax.training.state import TrainState
from pixjax.training.stop_signal import StopSignal
from pixjax.training.watchdog import Watchdog
from pixjax.training.workdir import require_same_run


def train(config: Config, workdir: str | os.PathLike, *, hang_exit_code: int = 0) -> bool:
    """Trains to `training.steps`, from the newest checkpoint of the workdir if it has one; says whether it got there.

    On SIGTERM, Ctrl-C, SIGHUP or SIGUSR1 the run saves, says how far it came, and returns; the same command continues
    it. In another thread than the first of the process no signal is seen. With a `hang_exit_code` the process ends with
    it where nothing moves for `training.hang_minutes`; else that is only said.

    Raises:
      InputError: the workdir holds another run, or one that is going on, or the config does not fit the devices.
        Nothing is written then.
      RunError: no checkpoint of the workdir is whole, none could be written for long, the gradients stay bad, or
        another run took the workdir over while this one stood still.
    """
    if not isinstance(config, Config):
        raise InputError(f"config is a {type(config).__name__}: give what pixjax.load_config or pixjax.Config returns")
    with StopSignal() as stop:  # from here on a signal means: save and return
        return _train(config, new_workdir(workdir), stop, hang_exit_code)


def _train(config: Config, workdir: epath.Path, stop: StopSignal, hang_exit_code: int) -> bool:
    training = config.training
    profile = Profile(training.profile_steps, workdir / "profile")
    codec = CanvasCodec(**config.codec_arguments())
    notes = require_same_run(workdir, config, codec)
    mesh = make_mesh(training.mesh)
    fed = place_batch(config, mesh)  # the fields of a batch that a step computes with
    batches = make_batches(config, codec, shard_index=jax.process_index(), shard_count=jax.process_count())
    require_agreement(config, codec, batches.get_state())
    programs = programs_of(config, codec, mesh)
    model, like = programs.model, programs.like

    params: Params | None = None
    origin = None
    if training.init_from and not saved_steps(workdir):
        params, said = params_from(training.init_from, like.params, config, codec, model)
        notes, origin = notes + said, origin_state(training.init_from)

    is_first = jax.process_index() == 0
    lock = WorkdirLock(workdir, stop=lambda: bool(stop.received)) if is_first else None
    with lock or contextlib.nullcontext(), CheckpointWriter(workdir, keep=training) as checkpoints, batches:
        window = Window()
        if restored := _newest_whole(checkpoints, like, notes):
            state, loop_state = restored
            notes += batches.set_state(loop_state["batches"])
            origin = loop_state.get("init_from")
            window = Window(loop_state["window"])
            notes.append(f"continuing at step {int(state.step)} of {workdir}")
        elif params is not None:
            state = programs.start(params)
        else:
            state = programs.init()
        if is_first:
            write_run(workdir, config, codec, batches.class_names)

        notes += batches.notes
        parameters = sum(x.size for x in jax.tree.leaves(state.params))
        notes.append(
            f"{parameters:,} parameters on {mesh.size} {jax.devices()[0].device_kind} device(s), workdir {workdir}"
        )
        step = int(state.step)
        reporter = Reporter(
            workdir,
            start_step=step,
            steps=training.steps,
            batch_size=config.data.batch_size,
            flops_per_canvas=flops_per_canvas(config, model, mesh.shape["data"] * mesh.shape["fsdp"]),
            peak_flops=mesh.size * (peak_flops(jax.devices()[0].device_kind) or 0),
            write=is_first,
        )
        saver = Saver(
            checkpoints,
            retry_seconds=training.save_retry_seconds,
            message=reporter.message,
            proved=restored is not None,
        )
        watchdog = Watchdog(
            workdir,
            seconds=60 * training.hang_minutes,
            message=reporter.message if is_first else _say,
            process=jax.process_index(),
            exit_code=hang_exit_code,
        )
        skipped, spikes = SkippedUpdates(training.max_skipped_updates), Spikes()
        # The next start need not watch the lock of a run that ended because another process was lost.
        heard: list[Callable[[str], Any]] = [lock.__exit__, reporter.note] if lock is not None else []
        best, batch = math.inf, None
        metrics: Mapping[str, Any] | None = None
        with reporter, profile, watchdog, peers.told(*heard):
            for note in notes:
                reporter.message(note)

            def report() -> None:
                nonlocal best
                if (closed := window.fetch()) is not None:
                    data = {f"data/skipped/{cause}": float(count) for cause, count in batches.skipped.items()}
                    reporter.log(closed.step, closed.averages | data, waited=batches.wait_seconds)
                    for spike in spikes.of(closed.averages):
                        reporter.message(f"step {closed.step}: {spike}")
                    skipped.add(closed.skipped_updates)
                    if training.keep_best:
                        best = _best_metric(training.best_metric, closed.averages)

            def save() -> None:
                if lock is not None:
                    lock.confirm()
                report()  # a line of the log is not lost with what comes after the checkpoint
                reporter.flush()
                if is_first and not (workdir / CONFIG_FILE).exists():
                    reporter.message(f"{workdir} has lost its {CONFIG_FILE}, was it removed? Writing it anew")
                    write_run(workdir, config, codec, batches.class_names)
                loop_state = {"batches": batches.get_state(), "window": window.get_state(), "init_from": origin}
                checkpoints.save(state, loop_state, config, codec, best)

            while step < training.steps and not (stop.at(step) or skipped.too_many or saver.gave_up):
                if lock is not None:
                    lock.require_held()
                profile.before(step)
                watchdog.phase(f"the data loader, before step {step + 1},")
                batch = next(batches)
                watchdog.phase(f"step {step + 1} (the devices, or another process)", compiles=metrics is None)
                on_devices = {name: to_global(batch[name], mesh) for name in fed}
                # A copy that nobody asked for would make host or devices wait in every step; compiling moves constants.
                with jax.transfer_guard("allow" if metrics is None else "disallow"):
                    state, metrics = programs.update(state, on_devices)
                    report()  # of the window that the step before has closed: the device is busy meanwhile
                    step += 1
                    window.add(metrics)
                    reporter.advance(step)
                    if step % training.log_every == 0 or step == training.steps:
                        window.close(step)
                saver.poll(step)
                if step % training.checkpoint_every == 0 or saver.is_due:
                    with watchdog.during(f"the save of step {step}"):
                        saver.save(save)
            if lock is not None:
                lock.confirm()  # nothing is written into a workdir that another run has taken over
            if skipped.too_many and batch is not None and is_first:
                fields: dict[str, Any] = {name: batch[name] for name in fed}
                with (workdir / BAD_BATCH_FILE).open("wb") as file:
                    np.savez(file, step=step, **fields)
            with watchdog.during(f"the last save, of step {step},"):
                saver.finish(save)
            if skipped.too_many:
                raise skipped.error(step)
            if stop.received and step < training.steps:
                reporter.message(f"stopped by {stop.received} at step {step}, saved: the same command continues")
            else:
                reporter.message(f"done: step {step} is saved in {workdir}")
            return step >= training.steps


def _say(text: str) -> None:
    safe(sys.stderr, patience=PATIENCE).write(f"{text}\n")


def _newest_whole(
    checkpoints: CheckpointWriter, like: TrainState, notes: list[str]
) -> tuple[TrainState, dict[str, Any]] | None:
    """The newest checkpoint that is as it was saved; damaged ones are set aside, and `notes` says so.

    Where none can be read the reason may lie outside of them, in a disk, a permission or a library: all stay.
    """
    damaged: dict[int, DamagedCheckpoint] = {}
    for step in reversed(checkpoints.steps()):
        try:
            restored = checkpoints.restore_state(step, like)
        except DamagedCheckpoint as error:
            damaged[step] = error
            continue
        notes += [f"{error}; it is now in {checkpoints.set_aside(step)}" for step, error in damaged.items()]
        return restored
    if damaged:
        said = "; ".join(map(str, damaged.values()))
        raise RunError(f"no whole checkpoint is left, all stay where they are ({said}): choose a new --workdir")
    return None


def _best_metric(name: str, averages: Mapping[str, float]) -> float:
    if name not in averages:
        raise InputError(f"training.best_metric={name!r} is not logged: choose one of {', '.join(sorted(averages))}")
    return averages[name] if math.isfinite(averages[name]) else math.inf


def to_global(local: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
    """This process's share of a batch as its part of the global array."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), local)

"""The training run, top to bottom."""

import signal
import sys

import jax
import numpy as np
from etils import epath

from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches
from pixjax.diffusion import time_law
from pixjax.errors import InputError
from pixjax.training.checkpoint import Checkpoints, write_run
from pixjax.training.finetune import params_from
from pixjax.training.mesh import batch_sharding, make_mesh, replicated, state_shardings
from pixjax.training.metrics import averages
from pixjax.training.optimizer import make_optimizer
from pixjax.training.reporter import Reporter
from pixjax.training.state import init_state, make_model, start_state
from pixjax.training.step import make_train_step
from pixjax.training.workdir import require_same_run

FED = ("canvas", "modality", "label", "loss_mask")  # the fields of a batch that a step computes with


def train(config: Config, workdir: epath.Path) -> None:
    """Trains to `training.steps`, from the newest checkpoint of the workdir if it has one.

    On SIGTERM or Ctrl-C the run saves, says how far it came, and returns; the same command continues it.

    Raises:
      InputError: the workdir holds another run, or the config does not fit the devices. Nothing is written then.
    """
    training = config.training
    for law in (config.diffusion.time.text, config.diffusion.time.image):
        time_law(law)
    require_same_run(workdir, config)
    codec = CanvasCodec.from_config(config)
    mesh = make_mesh(training.mesh)
    if config.data.batch_size % (mesh.shape["data"] * mesh.shape["fsdp"]):
        raise InputError(
            f"data.batch_size={config.data.batch_size} does not divide over "
            f"{mesh.shape['data']} x {mesh.shape['fsdp']} "
            "devices (data x fsdp): choose a multiple"
        )
    model, optimizer = make_model(config), make_optimizer(training)
    batches = make_batches(config, codec, shard_index=jax.process_index(), shard_count=jax.process_count())

    # Where each array lives is decided before the first one exists.
    shapes = jax.eval_shape(lambda: init_state(config, model, optimizer))
    shardings = state_shardings(mesh, shapes)
    like = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, shardings)

    with Checkpoints(workdir, keep=training.keep_checkpoints) as checkpoints, batches:
        if steps := checkpoints.steps():
            state, data_state = checkpoints.restore_state(steps[-1], like)
            batches.set_state(data_state)
            notes = [f"continuing at step {steps[-1]} of {workdir}"]
        elif training.init_from:
            params, notes = params_from(training.init_from, like.params, training.seed, model)
            state = jax.jit(lambda p: start_state(config, p, optimizer), out_shardings=shardings)(params)
        else:
            state = jax.jit(lambda: init_state(config, model, optimizer), out_shardings=shardings)()
            notes = []
        write_run(workdir, config, codec)

        parameters = sum(x.size for x in jax.tree.leaves(state.params))
        notes.append(
            f"{parameters:,} parameters on {mesh.size} {jax.devices()[0].device_kind} device(s), workdir {workdir}"
        )
        train_step = jax.jit(
            make_train_step(config, codec, model, optimizer),
            donate_argnums=0,
            in_shardings=(shardings, batch_sharding(mesh)),
            out_shardings=(shardings, replicated(mesh)),
        )
        step = int(state.step)
        reporter = Reporter(
            workdir,
            start_step=step,
            steps=training.steps,
            batch_size=config.data.batch_size,
            write=jax.process_index() == 0,
        )
        with reporter, StopSignal() as stop:
            for note in notes:
                reporter.message(note)
            window = []
            while step < training.steps and not stop.received:
                batch = next(batches)
                fed = {name: to_global(batch[name], mesh) for name in FED}
                state, metrics = train_step(state, fed)
                step += 1
                window.append(metrics)
                reporter.advance(step)
                if step % training.log_every == 0 or step == training.steps:
                    data = {f"data/skipped/{cause}": float(count) for cause, count in batches.skipped.items()}
                    reporter.log(step, averages(jax.device_get(window)) | data, waited=batches.wait_seconds)
                    window = []
                if step % training.checkpoint_every == 0:
                    checkpoints.save(state, batches.get_state())
            checkpoints.save(state, batches.get_state())
            checkpoints.wait()
            if stop.received:
                reporter.message(f"stopped by {stop.received} at step {step}, saved: the same command continues")
            else:
                reporter.message(f"done: step {step} is saved in {workdir}")


def to_global(local: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
    """This process's share of a batch as its part of the global array."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), local)


class StopSignal:
    """Turns SIGTERM and Ctrl-C into a wish that the loop sees between two steps. A second Ctrl-C stops at once."""

    def __init__(self):
        self.received: str = ""

    def __enter__(self) -> "StopSignal":
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        print(f"{self.received}: saving after this step", file=sys.stderr)

"""The checks of `pixjax doctor`, in order: this machine, and whether a config can be trained here, in this workdir."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial

import jax
from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.writer import most_checkpoints
from pixjax.chips import GIB
from pixjax.codec import CanvasCodec
from pixjax.config import Config
from pixjax.data import make_batches, open_source
from pixjax.data.labels import describe_classes
from pixjax.paths import is_remote
from pixjax.planning import machine
from pixjax.planning.finding import Finding, isolated
from pixjax.planning.footprint import bytes_per_device
from pixjax.planning.machine import checkpoint_speed, device_memory, loader_rate
from pixjax.training.computation import flops_per_canvas
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.placement import canvases_per_device, place_state
from pixjax.training.state import init_state, make_model
from pixjax.training.workdir import require_same_run, saved_data_state

_STEP_SHARE = 0.7  # of the rate of its matrix products alone, which a training step does not reach
_SAMPLE_BYTES = 2**27  # written to measure a disk

Findings = Mapping[str, Finding]


def check_mesh(config: Config) -> Finding:
    mesh = make_mesh(config.training.mesh)
    canvases = canvases_per_device(config, mesh.shape["data"] * mesh.shape["fsdp"])
    axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
    return Finding(
        found=f"{axes}: {canvases} of the {config.data.batch_size} canvases of a batch on a device",
        values={**mesh.shape, "canvases_per_device": canvases},
    )


def check_model(config: Config) -> Finding:
    """Whether the state and one gradient have room; activations are not counted here."""
    state = place_state(config, make_model(config), make_optimizer(config.training), make_mesh(config.training.mesh))
    held, gradient, memory = bytes_per_device(state), bytes_per_device(state.params), device_memory()
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    fits = held + gradient < memory
    return Finding(
        status="ok" if fits else "failure",
        found=f"{parameters:,} parameters; {held / GIB:.2f} GiB of state on a device of {memory / GIB:.1f} GiB",
        remedy="" if fits else "split the state over devices with training.mesh.fsdp, or choose a smaller variant",
        values={"parameters": parameters, "state_bytes_per_device": held},
    )


def checkpoint_bytes(config: Config) -> int:
    """The bytes of the arrays in a checkpoint, before orbax compresses them."""
    state = jax.eval_shape(lambda: init_state(config, make_model(config), make_optimizer(config.training)))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def check_source(config: Config, uri: str) -> Finding:
    codec, size, context = (
        CanvasCodec(**config.codec_arguments()),
        config.model.canvas_size,
        config.model.context_canvases,
    )
    limit = config.data.max_bad_fraction
    source = open_source(uri, canvas_size=size, codec=codec, context_canvases=context, max_bad_fraction=limit)
    found, values = [f"{len(source):,} records", describe_classes(source)], {"records": len(source)}
    if skipped := sum(getattr(source, "skipped", {}).values()):
        found.append(f"{skipped:,} rows skipped")
        values["rows_skipped"] = skipped
    coverage = getattr(source, "coverage", None)
    if coverage is not None and coverage.characters:
        found.append(str(coverage))
        values |= {"characters": coverage.characters, "lost_characters": coverage.lost}
    found += getattr(source, "notes", ())
    return Finding(found="; ".join(filter(None, found)), values=values)


def check_loader(config: Config, before: Findings) -> Finding:
    """Canvases a second, of all processes, against what the devices could take."""
    if any(finding.status == "failure" for name, finding in before.items() if name.startswith("source ")):
        return Finding(status="warning", found="not measured", remedy="mend the sources first")
    made = loader_rate(config, CanvasCodec(**config.codec_arguments())) * jax.process_count()
    values = {"canvases_per_second": made}
    taken = canvases_taken(config, before)
    if taken is None:
        return Finding(found=f"{made:,.0f} canvases/s", values=values)
    enough = made >= taken
    cores = os.cpu_count() or 1
    return Finding(
        status="ok" if enough else "warning",
        found=f"{made:,.0f} canvases/s; a step takes at most {taken:,.0f}",
        remedy="" if enough else f"raise data.workers ({config.data.workers}, on {cores} cores), or pixjax prepare",
        values=values | {"canvases_per_second_taken": taken},
    )


def canvases_taken(config: Config, before: Findings) -> float | None:
    """Canvases a second that a fast step takes, by the matrix products that were measured; None if none were."""
    model = make_model(config)
    measured = before.get(f"matrix products {model.config.dtype}")
    if measured is None or "flops" not in measured.values:
        return None
    flops = measured.values["flops"] * jax.device_count()
    return _STEP_SHARE * flops / flops_per_canvas(config, model)


def check_workdir(config: Config | None, workdir: epath.Path, before: Findings) -> Finding:
    """Writes a sample of a checkpoint, and deletes it."""
    if config is not None:
        codec = CanvasCodec(**config.codec_arguments())
        require_same_run(workdir, config, codec)
        if state := saved_data_state(workdir):
            with make_batches(config, codec) as batches:
                batches.set_state(state["batches"])
    size = checkpoint_bytes(config) if config else _SAMPLE_BYTES
    speed = checkpoint_speed(workdir, min(size, _SAMPLE_BYTES))
    values = {"bytes_per_second": speed}
    found = f"written at {speed / 1e6:,.0f} MB/s"
    if config is None:
        return Finding(found=found, values=values)
    seconds = size / speed
    found += f": {seconds:,.1f} s for a checkpoint of {size / GIB:.2f} GiB"
    taken = canvases_taken(config, before)
    between = config.training.checkpoint_every * config.data.batch_size / taken if taken else float("inf")
    late = seconds > between
    return Finding(
        status="warning" if late else "ok",
        found=f"{found}, and the next may be due after {between:,.1f} s" if late else found,
        remedy="raise training.checkpoint_every, or choose a faster disk" if late else "",
        values=values | {"checkpoint_seconds": seconds},
    )


def check_disk(config: Config | None, workdir: epath.Path) -> Finding:
    if is_remote(workdir):
        return Finding(found="an object store, whose space is not told")
    folder = next(p for p in (workdir, *workdir.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free"
    if config is None:
        return Finding(found=found, values={"free_bytes": free})
    one = checkpoint_bytes(config)
    wanted = one * max(most_checkpoints(config.training) - len(saved_steps(workdir)), 1)
    enough = free >= wanted
    return Finding(
        status="ok" if enough else "failure" if free < one else "warning",
        found=f"{found}; checkpoints will take up to {wanted / GIB:.2f} GiB more",
        remedy="" if enough else "make room, keep fewer (training.keep_checkpoints), or choose another --workdir",
        values={"free_bytes": free, "wanted_bytes": wanted},
    )


def examine(
    config: Config | None, workdir: epath.Path | None, tell: Callable[[str, Finding], None] = lambda *_: None
) -> dict[str, Finding]:
    """What each check found, by its name; `tell` hears of each as it comes.

    Where no device can be had that is the last one, since all others compute. Without a config nothing of a run is
    checked, without a workdir no disk. Nothing stays in the workdir.
    """
    findings: dict[str, Finding] = {}
    for name, check in _checks(config, workdir, findings):
        findings[name] = isolated(check)
        if name.startswith("source "):  # which errors name once more
            uri = name.removeprefix("source ")
            found = findings[name].found.removeprefix(f"{uri}: ").replace(f" of {uri} ", " ")
            findings[name] = dataclasses.replace(findings[name], found=found)
        tell(name, findings[name])
        if name == "accelerator" and findings[name].status == "failure":
            break
    return findings


def _checks(
    config: Config | None, workdir: epath.Path | None, before: dict[str, Finding]
) -> list[tuple[str, Callable[[], Finding]]]:
    """Later ones look at what was found `before`."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("software", machine.check_software),
        ("accelerator", machine.check_accelerator),
        ("compilation cache", machine.check_cache),
        ("devices", machine.check_devices),
        ("matrix products bfloat16", partial(machine.check_matmul, "bfloat16")),
        ("matrix products float32", partial(machine.check_matmul, "float32")),
        ("memory bandwidth", machine.check_bandwidth),
    ]
    if config is not None:
        checks += [("mesh", partial(check_mesh, config)), ("model", partial(check_model, config))]
        sources = dict.fromkeys(config.data.sources)  # one that is named twice is refused by the loader
        checks += [(f"source {uri}", partial(check_source, config, uri)) for uri in sources]
        checks += [("loader", partial(check_loader, config, before))]
    if workdir is not None:
        checks += [
            ("workdir", partial(check_workdir, config, workdir, before)),
            ("disk", partial(check_disk, config, workdir)),
        ]
    return checks

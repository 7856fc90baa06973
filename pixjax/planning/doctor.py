"""Is this machine fit for a run? Everything that is checked, in order."""

from collections.abc import Callable
from functools import partial

from etils import epath

from pixjax.config import Config
from pixjax.planning import fitness, machine
from pixjax.planning.finding import Finding, stand_alone


def examine(
    config: Config | None, workdir: epath.Path | None, tell: Callable[[str, Finding], None] = lambda *_: None
) -> dict[str, Finding]:
    """What each check found, by its name; `tell` hears of each as it comes.

    Where no device can be had that is the last one, since all others compute. Without a config nothing of a run is
    checked, without a workdir no disk. Nothing stays in the workdir.
    """
    findings: dict[str, Finding] = {}
    for name, check in _checks(config, workdir, findings):
        findings[name] = stand_alone(check)
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
        checks += [("mesh", partial(fitness.check_mesh, config)), ("model", partial(fitness.check_model, config))]
        checks += [(f"source {uri}", partial(fitness.check_source, config, uri)) for uri in config.data.sources]
        checks += [("loader", partial(fitness.check_loader, config, before))]
    if workdir is not None:
        checks += [
            ("workdir", partial(fitness.check_workdir, config, workdir, before)),
            ("disk", partial(fitness.check_disk, config, workdir)),
        ]
    return checks

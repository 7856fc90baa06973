"""A study: runs that differ from one another in known ways, over seeds, all measured alike and then compared.

A file of its own says what is compared, as `configs/study_mixing.py` does for mixing; any key of the config may differ.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.config import Config, known_keys
from pixjax.config_file import run_config_file, with_overrides
from pixjax.config_values import unknown_key
from pixjax.errors import InputError
from pixjax.evaluation.evaluate import Stopped
from pixjax.report.run import evaluate
from pixjax.training.train import train


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train, repeated for every seed."""

    name: str
    changes: Mapping[str, Any]  # of the base config, by dotted key
    length: float = 1.0  # in the steps of the base config
    start_from: str = ""  # the arm whose parameters, of the same seed, it starts from
    about: str = ""  # for the reader of the report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `arm` costs against `reference`, in percent of each headline figure that both have."""

    name: str
    reference: str
    arm: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    title: str
    base: Config
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    seeds: tuple[int, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], base: Config) -> "Study":
        """Reads what a study's file returns, with the base config as the command line has changed it.

        Raises:
          InputError: an unknown key, an arm that is not there or comes later, no seed, or an impossible config.
        """
        _require_keys(values, {"title", "base", "arms", "comparisons", "seeds"}, "a study")
        arms = tuple(_made(Arm, {"name": name, **arm}, f"arm {name!r}") for name, arm in values["arms"].items())
        comparisons = tuple(
            _made(Comparison, c, f"comparison {c.get('name')!r}") for c in values.get("comparisons", ())
        )
        study = cls(
            title=values["title"], base=base, arms=arms, comparisons=comparisons, seeds=tuple(values.get("seeds", (0,)))
        )
        study.check()
        return study

    def check(self) -> None:
        names = [arm.name for arm in self.arms]
        if not self.arms or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"a study needs arms and different seeds: it has {len(names)} arms and seeds {self.seeds}")
        for number, arm in enumerate(self.arms):
            if arm.start_from and arm.start_from not in names[:number]:
                raise InputError(f"arm {arm.name!r} starts from {arm.start_from!r}: name one of the arms before it")
            self.config(arm, self.seeds[0], epath.Path("."))
        for comparison in self.comparisons:
            for name in (comparison.reference, comparison.arm):
                if name not in names:
                    raise InputError(f"comparison {comparison.name!r} names {name!r}: the arms are {', '.join(names)}")

    def config(self, arm: Arm, seed: int, workdir: epath.Path) -> Config:
        """The whole config of a run."""
        values = self.base.to_dict()
        steps = max(1, round(self.base.training.steps * arm.length))
        values["training"] |= {"steps": steps, "seed": seed}
        for key, value in arm.changes.items():
            if key not in known_keys():
                raise InputError(f"arm {arm.name!r}: {unknown_key(key, known_keys())}")
            *sections, leaf = key.split(".")
            section = values
            for part in sections:
                section = section[part]
            section[leaf] = value
        if arm.start_from:
            values["training"]["init_from"] = str(run_folder(workdir, arm.start_from, seed))
        return Config.from_dict(values)


def read_study(name: str, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Study:
    """The study that a file describes; overrides change its base config, seeds take the place of its own.

    Raises:
      InputError: as `load_config` does, or an arm or a comparison that is not possible.
    """
    values = run_config_file(name, "get_study")
    if seeds:
        values["seeds"] = tuple(seeds)
    base = values.get("base")
    if base is None:
        raise InputError(f"study {name} has no base: give it the config that all arms share")
    return Study.from_dict(values, with_overrides(Config.from_dict(base.to_dict()), overrides))


def run_folder(workdir: epath.Path, arm: str, seed: int) -> epath.Path:
    return workdir / "runs" / f"{arm}-seed{seed}"


def run_study(
    study: Study,
    workdir: epath.Path,
    *,
    baselines: Sequence[str | os.PathLike] = (),
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[int, dict[str, Any]]]:
    """Trains and measures every arm with every seed, and goes on where it was stopped.

    All arms of a seed come before the next seed, so that what is done can be compared at any time.

    Returns:
      The metrics of each arm by seed, as in `metrics.json`.

    Raises:
      Stopped: between two batches or steps; what is done is kept.
    """
    results: dict[str, dict[int, dict[str, Any]]] = {arm.name: {} for arm in study.arms}
    for seed in study.seeds:
        for arm in study.arms:
            folder, config = run_folder(workdir, arm.name, seed), study.config(arm, seed, workdir)
            say(f"{arm.name}, seed {seed}: {config.training.steps:,} steps of {config.data.batch_size}")
            if saved_steps(folder)[-1:] != [config.training.steps] and not train(config, folder):
                raise Stopped
            results[arm.name][seed] = evaluate(
                folder,
                folder / "evaluation",
                overrides={f"evaluation.{key}": value for key, value in config.to_dict()["evaluation"].items()},
                seed=0,  # all arms and seeds are measured on the same canvases with the same noise
                baselines=baselines,
                references=workdir / "references",
                stop=stop,
                say=say,
            )
    return results


def _made(kind: type, values: Mapping[str, Any], where: str) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    _require_keys(values, known, where)
    required = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    if missing := required - set(values):
        raise InputError(f"{where} has no {min(missing)}: it needs {', '.join(sorted(required))}")
    return kind(**values)


def _require_keys(values: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := set(values) - known:
        raise InputError(f"{where} has an unknown key {min(unknown)!r}: it may have {', '.join(sorted(known))}")

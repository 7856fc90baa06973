"""A study: runs that differ from one another in known ways, over seeds, all measured alike and then compared.

A file of its own says what is compared, as `configs/study_mixing.py` does for mixing; any key of the config may differ.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from pixjax.checkpoints.checkpoint import saved_steps
from pixjax.checkpoints.provenance import versions
from pixjax.config import Config, TrainingConfig, known_keys
from pixjax.config_file import run_config_file, with_overrides
from pixjax.config_values import unknown_key
from pixjax.errors import InputError
from pixjax.evaluation.evaluate import Stopped
from pixjax.evaluation.result_cache import ResultCache
from pixjax.report.run import evaluate
from pixjax.study.gradients import gradient_cosine
from pixjax.training.computation import update_flops
from pixjax.training.state import make_model
from pixjax.training.train import train

Results = dict[str, dict[int, dict[str, Any]]]  # the metrics of each arm, by seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train, repeated for every seed."""

    name: str
    changes: Mapping[str, Any]  # of the base config, by dotted key
    teraflops: float = 0.0  # of training, by `update_flops` on one device; the warm-up keeps its part of the steps
    updates_of: str = ""  # an arm before it: as many updates, and the same warm-up
    length: float = 1.0  # in the updates that these two say, or in the steps of the base config
    seeds: tuple[int, ...] | None = None  # None: those of the study
    stage: int = 0  # all seeds of a stage come before the next stage
    start_from: str = ""  # the arm whose parameters, of the same seed, it starts from
    cosine: bool = False  # whether the gradients of its two modalities are compared, with its first seed
    about: str = ""  # for the reader of the report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `arm` costs against `reference`, in percent of each headline figure that both have."""

    name: str
    reference: str
    arm: str
    curve: str = ""  # comparisons of one curve ask the same at several computations, and are fitted together


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    title: str
    base: Config
    arms: tuple[Arm, ...]
    comparisons: tuple[Comparison, ...]
    seeds: tuple[int, ...]
    margin: float = 0.0  # of ln L, within which two arms are taken for equivalent; 0: the study decides nothing

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], base: Config) -> "Study":
        """Reads what a study's file returns, with the base config as the command line has changed it.

        Raises:
          InputError: an unknown key, an arm that is not there or comes later, no seed, or an impossible config.
        """
        _require_keys(values, {"title", "base", "arms", "comparisons", "seeds", "margin"}, "a study")
        arms = tuple(_made(Arm, {"name": name, **arm}, f"arm {name!r}") for name, arm in values["arms"].items())
        comparisons = tuple(
            _made(Comparison, c, f"comparison {c.get('name')!r}") for c in values.get("comparisons", ())
        )
        study = cls(
            title=values["title"],
            base=base,
            arms=arms,
            comparisons=comparisons,
            seeds=tuple(values.get("seeds", (0,))),
            margin=values.get("margin", 0.0),
        )
        study.check()
        return study

    def check(self) -> None:
        names = [arm.name for arm in self.arms]
        repeats = any(len(set(seeds)) < len(seeds) for seeds in (self.seeds, *map(self.seeds_of, self.arms)))
        if not self.arms or not self.runs or repeats:
            raise InputError(f"a study needs arms and different seeds: it has {len(names)} arms and seeds {self.seeds}")
        for number, arm in enumerate(self.arms):
            before = {other.name: other for other in self.arms[:number] if other.stage <= arm.stage}
            if arm.start_from and arm.start_from not in before:
                raise InputError(f"arm {arm.name!r} starts from {arm.start_from!r}: name one of the arms before it")
            if arm.updates_of and arm.updates_of not in names[:number]:
                raise InputError(f"arm {arm.name!r} has updates_of={arm.updates_of!r}: name one of the arms before it")
            if arm.start_from and (missing := set(self.seeds_of(arm)) - set(self.seeds_of(before[arm.start_from]))):
                raise InputError(
                    f"arm {arm.name!r} has seed {min(missing)} and starts from {arm.start_from!r}, which has not: "
                    "give both the same seeds"
                )
            if arm.teraflops and arm.updates_of:
                raise InputError(f"arm {arm.name!r} has teraflops and updates_of, which both say its steps: keep one")
        for arm in self.arms:
            self.config(arm, self.seeds[0], epath.Path("."))
        for comparison in self.comparisons:
            for name in (comparison.reference, comparison.arm):
                if name not in names:
                    raise InputError(f"comparison {comparison.name!r} names {name!r}: the arms are {', '.join(names)}")

    def seeds_of(self, arm: Arm) -> tuple[int, ...]:
        return self.seeds if arm.seeds is None else arm.seeds

    @property
    def runs(self) -> list[tuple[Arm, int]]:
        """In the order in which they are made: by stage, and in it all arms of a seed before the next seed."""
        ordered = []
        for stage in sorted({arm.stage for arm in self.arms}):
            arms = [arm for arm in self.arms if arm.stage == stage]
            seeds = dict.fromkeys(seed for arm in arms for seed in self.seeds_of(arm))
            ordered += [(arm, seed) for seed in seeds for arm in arms if seed in self.seeds_of(arm)]
        return ordered

    @functools.cached_property
    def steps(self) -> dict[str, int]:
        """Updates of each arm."""
        found: dict[str, int] = {}
        for arm in self.arms:
            steps: float = found[arm.updates_of] if arm.updates_of else self.base.training.steps
            if arm.teraflops:
                steps = 1e12 * arm.teraflops / self._update_flops(arm)
            found[arm.name] = max(1, round(steps * arm.length))
        return found

    @functools.cached_property
    def teraflops(self) -> dict[str, float]:
        """What each arm is trained with, less what the arm had been that it starts from."""
        steps = {arm.name: self.config(arm, self.seeds[0], epath.Path(".")).training.steps for arm in self.arms}
        return {arm.name: 1e-12 * steps[arm.name] * self._update_flops(arm) for arm in self.arms}

    def _update_flops(self, arm: Arm) -> float:
        config = self._config(arm, self.base.training)
        return update_flops(config, make_model(config))

    def config(self, arm: Arm, seed: int, workdir: epath.Path) -> Config:
        """The whole config of a run."""
        base, steps = self.base.training, self.steps[arm.name]
        warmup = base.warmup_steps
        if arm.teraflops or arm.updates_of:
            warmup = round(warmup * steps / base.steps)
        origin = str(run_folder(workdir, arm.start_from, seed)) if arm.start_from else base.init_from
        training = dataclasses.replace(base, steps=steps, warmup_steps=warmup, seed=seed, init_from=origin)
        return self._config(arm, training)

    def _config(self, arm: Arm, training: TrainingConfig) -> Config:
        values = dataclasses.replace(self.base, training=training).to_dict()
        for key, value in arm.changes.items():
            if key not in known_keys():
                raise InputError(f"arm {arm.name!r}: {unknown_key(key, known_keys())}")
            *sections, leaf = key.split(".")
            section = values
            for part in sections:
                section = section[part]
            section[leaf] = value
        return Config.from_dict(values)


def read_study(name: str, overrides: Sequence[str] = (), seeds: Sequence[int] = ()) -> Study:
    """The study that a file describes; overrides change its base config, seeds take the place of its own.

    Of an arm that has seeds of its own, those are left that are among the given ones.

    Raises:
      InputError: as `load_config` does, an arm or a comparison that is not possible, a seed that is given twice, or one
        that no arm may have.
    """
    values = run_config_file(name, "get_study")
    if seeds:
        own = {arm: of_arm["seeds"] for arm, of_arm in values["arms"].items() if of_arm.get("seeds") is not None}
        _require_seeds(name, seeds, own.values() if len(own) == len(values["arms"]) else None)
        values["seeds"] = tuple(seeds)
        left = {arm: {"seeds": tuple(seed for seed in of_arm if seed in seeds)} for arm, of_arm in own.items()}
        values["arms"] = {arm: {**of_arm, **left.get(arm, {})} for arm, of_arm in values["arms"].items()}
    base = values.get("base")
    if base is None:
        raise InputError(f"study {name} has no base: give it the config that all arms share")
    return Study.from_dict(values, with_overrides(Config.from_dict(base.to_dict()), overrides))


def _require_seeds(study: str, seeds: Sequence[int], of_arms: Iterable[Sequence[int]] | None) -> None:
    """`of_arms` are the only seeds that the arms may have; None: some may have any."""
    given = f"--seeds={','.join(map(str, seeds))}"
    if repeated := [seed for seed in seeds if list(seeds).count(seed) > 1]:
        raise InputError(f"{given} names {repeated[0]} twice: give different seeds")
    known = sorted({seed for of_arm in of_arms for seed in of_arm}) if of_arms is not None else []
    if known and (strange := [seed for seed in seeds if seed not in known]):
        raise InputError(f"{given}: no arm of {study} has seed {strange[0]}: choose among {','.join(map(str, known))}")


def run_folder(workdir: epath.Path, arm: str, seed: int) -> epath.Path:
    return workdir / "runs" / f"{arm}-seed{seed}"


def run_study(
    study: Study,
    workdir: epath.Path,
    *,
    baselines: Sequence[str | os.PathLike] = (),
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
    after_run: Callable[[Results], None] = lambda results: None,
) -> Results:
    """Trains and measures every arm with every seed, and goes on where it was stopped.

    The order is that of `Study.runs`, so that what is done can be compared at any time.

    Args:
      after_run: is given what is done so far, after each run.

    Returns:
      The metrics of each arm by seed, as in `metrics.json`, with `gradient_cosine` for the arms that ask for it.

    Raises:
      Stopped: between two batches or steps; what is done is kept.
    """
    results: Results = {arm.name: {} for arm in study.arms}
    for arm, seed in study.runs:
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
        if arm.cosine and seed == study.seeds_of(arm)[0]:
            kept = ResultCache.of(folder / "evaluation" / "parts", step=config.training.steps, code=versions())
            cosine = kept.get("gradient_cosine", functools.partial(gradient_cosine, folder))
            results[arm.name][seed] |= {"gradient_cosine": cosine}
        after_run(results)
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

"""`launch/slurm.sbatch` under a real SLURM: stopped in every way that a cluster knows, and continued by itself."""

import json
import os
import pathlib
import re
import sys

import pytest
from fake_commands import LAUNCH
from slurm_cluster import Cluster, missing, running

from pixjax.cli import main

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

SCRIPT = str(LAUNCH / "slurm.sbatch")
TWO = ("--ntasks-per-node=2", "--gpus-per-node=2", "--cpus-per-task=1")
ONE = ("--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=1")

# The run is stopped before it ends, however fast it is; started for the third time it has five more steps to go.
CONFIG = """
import os, pathlib
from ml_collections import ConfigDict
def get_config():
    config = ConfigDict({values!r})
    saved = [int(step.name) for step in pathlib.Path({workdir!r}).glob("checkpoints/[0-9]*") if step.name.isdigit()]
    config.training.steps = max(saved) + 5 if os.environ.get("SLURM_RESTART_COUNT") == "2" else 100_000
    return config
"""

PIXJAX = """#!/usr/bin/env bash
# Says that it has begun, and saves when it is told to, as pixjax train does.
trap 'told=1' TERM
told=
echo "task $SLURM_PROCID: $* (start ${SLURM_RESTART_COUNT:-0}, GPUs $CUDA_VISIBLE_DEVICES)"
until [[ $told ]]; do sleep 0.1; done
sleep 0.5
echo "task $SLURM_PROCID: saved"
exit 42
"""


def environment(bin_folder: pathlib.Path | str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "CUDA_"))}
    return clean | {"PATH": f"{bin_folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running(tmp_path_factory.mktemp("slurm"), environment(pathlib.Path(sys.executable).parent)) as started:
        yield started


@pytest.fixture
def stand_in(cluster, tmp_path):
    """The same cluster, for jobs whose `pixjax` is the script above."""
    (tmp_path / "pixjax").write_text(PIXJAX)
    (tmp_path / "pixjax").chmod(0o755)
    return Cluster(cluster.folder, environment(tmp_path))


def curve(workdir: pathlib.Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def test_two_tasks_are_stopped_twice_continue_and_learn_what_an_undisturbed_job_learns(cluster, tmp_path, tiny_config):
    values = tiny_config(training={"decay": "constant", "checkpoint_every": 5}).to_dict()
    workdir, config = tmp_path / "run", tmp_path / "tiny.py"
    config.write_text(CONFIG.format(values=values, workdir=str(workdir)))
    job = cluster.submit(*TWO, SCRIPT, f"--config={config}", f"--workdir={workdir}")

    def stops() -> list[int]:
        return [int(step) for step in re.findall(r"stopped by .* at step (\d+), saved", cluster.log(job))]

    cluster.wait_for(job, lambda: "\nstep 3/" in cluster.log(job))
    cluster.call("scancel", "--batch", "--signal=USR1", job)  # as --signal=B:USR1@300 would
    cluster.wait_for(job, lambda: len(stops()) == 1)
    cluster.wait_for(job, lambda: f"\nstep {stops()[0] + 1}/" in cluster.log(job))
    cluster.call("scontrol", "update", f"JobId={job}", "TimeLimit=5")  # five minutes before it, the job is signalled
    cluster.wait_for(job, lambda: len(stops()) == 2)
    cluster.call("scontrol", "update", f"JobId={job}", "TimeLimit=600")
    cluster.wait_for(job, lambda: cluster.state(job) == "COMPLETED")

    first, second = stops()
    log = cluster.log(job)
    assert log.count("on 2 cpu device(s)") == 3
    assert f"continuing at step {first}" in log
    assert f"continuing at step {second}" in log
    assert (
        log.count("slurm.sbatch: a signal: the tasks are told to save and stop") == 1
    )  # of the time limit, SLURM does
    assert log.count("slurm.sbatch: stopped: the job goes back to the queue") == 2
    assert f"done: step {second + 5} is saved" in log

    undisturbed = tmp_path / "undisturbed"
    overrides = (f"--config.training.steps={second + 5}", "--config.training.checkpoint_every=100000")
    again = cluster.submit(*TWO, SCRIPT, "train", f"--config={config}", f"--workdir={undisturbed}", *overrides)
    cluster.wait_for(again, lambda: cluster.state(again) == "COMPLETED")
    assert curve(workdir) == curve(undisturbed)
    assert [step for step, _ in curve(workdir)] == list(range(1, second + 6))


def test_a_job_that_is_preempted_starts_again_and_one_that_is_cancelled_does_not(stand_in):
    job = stand_in.submit(*TWO, SCRIPT, "--config=demo", "--workdir=w")
    stand_in.wait_for(job, lambda: stand_in.log(job).count("(start 0") == 2)
    assert "task 1: train --stopped-exit-code=42 --config=demo --workdir=w (start 0, GPUs 0,1)" in stand_in.log(job)
    urgent = stand_in.submit("--partition=urgent", *TWO, "--wrap=true")
    stand_in.wait_for(urgent, lambda: stand_in.state(urgent) == "COMPLETED")
    stand_in.wait_for(job, lambda: stand_in.log(job).count("(start 1") == 2)
    assert stand_in.log(job).count(": saved\n") == 2
    stand_in.call("scancel", job)
    stand_in.wait_for(job, lambda: stand_in.log(job).count("SLURM has taken the job") == 1)
    stand_in.wait_for(job, lambda: stand_in.state(job) == "CANCELLED")
    assert stand_in.log(job).count(": saved\n") == 4


def test_what_would_go_wrong_for_every_task_is_refused(stand_in):
    refused = {
        "2 tasks and 1 GPUs a node": ("--ntasks-per-node=2", "--gpus-per-node=1", "--cpus-per-task=1", SCRIPT),
        "give --gpus-per-node": (*TWO, "--gpus-per-task=1", SCRIPT),
        "a study is one process, not 2": (*TWO, SCRIPT, "study"),
        "write %a where their number belongs": (*ONE, "--array=4-5", SCRIPT),
    }
    jobs = [stand_in.submit(*arguments, "--config=demo", "--workdir=w") for arguments in refused.values()]
    for job, message in zip(jobs, refused, strict=True):
        stand_in.wait_for(job, lambda message=message, job=job: message in stand_in.log(job))


STUDY = """
from ml_collections import ConfigDict
def get_study():
    arms = {{"marker": {{"changes": {{}}}}, "text": {{"changes": {{"data.text_ratio": 1.0}}}}}}
    comparisons = [{{"name": "mixing", "reference": "text", "arm": "marker"}}]
    return dict(title="s", base=ConfigDict({base!r}), seeds=(4, 5), arms=arms, comparisons=comparisons)
"""


def test_an_array_trains_a_seed_a_task_and_one_report_compares_them_all(cluster, tmp_path, tiny_config):
    evaluation = {"canvases": 4, "samples": 0, "num_times": 1, "batch_size": 4, "reference_characters": 2000}
    evaluation["test"] = ["demo:text?part=held_out"]
    base = tiny_config(training={"steps": 2}, evaluation=evaluation).to_dict()
    (tmp_path / "study.py").write_text(STUDY.format(base=base))
    study = (f"--config={tmp_path / 'study.py'}", f"--workdir={tmp_path / 'runs'}")
    job = cluster.submit("--array=4-5", *ONE, SCRIPT, "study", "--seeds=%a", *study)
    cluster.wait_for(job, lambda: cluster.state(job) == "COMPLETED COMPLETED")
    assert sorted(folder.name for folder in (tmp_path / "runs" / "runs").iterdir()) == [
        f"{arm}-seed{seed}" for arm in ("marker", "text") for seed in (4, 5)
    ]
    assert main(["study", *study]) == 0
    results = json.loads((tmp_path / "runs" / "results.json").read_text())
    assert {seed for arm in results["arms"].values() for seed in arm} == {"4", "5"}

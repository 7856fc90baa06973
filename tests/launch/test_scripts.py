"""What all launchers have in common: help, errors in one line, dry runs, and commands that exist."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from fake_commands import LAUNCH, ROOT, Fakes

from pixjax.cli import make_parser
from pixjax.config_file import load_config

TRAIN = ("--config=demo", "--workdir=gs://bucket/runs/mine", "--config.data.sources=text:my texts/*.txt")
POD = ("my-run", "--zone=us-east5-a", "--type=v5p-64", "--version=v2-alpha-tpuv5")
XPK = ("my-run", "--cluster=c", "--zone=us-east5-a", "--type=v5p-64", "--image=registry/pixjax:tpu")
SCRIPTS = ("local_gpu.sh", "tpu_pod.sh", "slurm.sbatch", "gke/xpk.sh", "docker/try_without_docker.sh")

# A dry run of everything that a launcher does.
DRY_RUNS = [
    ("local_gpu.sh", "--dry-run", "--gpus=0,1", "--", *TRAIN),
    ("slurm.sbatch", "--dry-run", *TRAIN),
    ("slurm.sbatch", "--dry-run", "study", "--config=study_mixing", "--workdir=/shared/study", "--seeds=0,1"),
    *[
        ("tpu_pod.sh", command, *POD, "--dry-run", *options, "--", *TRAIN)
        for command, *options in (["run"], ["run", "--queued", "--spot"], ["watch", "--project=p"], ["start"])
    ],
    *[
        ("tpu_pod.sh", command, *POD, "--dry-run", *options)
        for command, *options in (
            ["create", "--spot"], ["install", "--repo=https://example.com/pixjax", "--ref=v0.1.0"], ["status"],
            ["logs", "--worker=3"], ["stop"], ["delete"], ["delete", "--queued"],
        )
    ],
    ("gke/xpk.sh", "image", "--image=registry/pixjax:tpu", "--dry-run"),
    ("gke/xpk.sh", "start", *XPK, "--dry-run", "--", *TRAIN),
    ("gke/xpk.sh", "status", *XPK[1:], "--dry-run"),
    ("gke/xpk.sh", "logs", *XPK, "--dry-run"),
    ("gke/xpk.sh", "delete", *XPK, "--dry-run"),
    ("docker/try_without_docker.sh", "--target=tpu", "--dry-run"),
]  # fmt: skip


def commands_of(dry_run: str) -> list[list[str]]:
    """The commands that a dry run printed; one may span lines, inside quotes."""
    lexer = shlex.shlex(dry_run, posix=True, punctuation_chars="\n")
    lexer.whitespace, lexer.whitespace_split = " \t", True
    commands: list[list[str]] = [[]]
    for token in lexer:
        if set(token) == {"\n"}:
            commands.append([])
        else:
            commands[-1].append(token)
    return [command for command in commands if command]


def trainings_in(words: list[str]) -> list[list[str]]:
    """The arguments of every `pixjax train` in a command, also in those that it hands to other shells in quotes."""
    found = []
    for number, (program, command) in enumerate(itertools.pairwise(words)):
        if program.endswith("pixjax") and command == "train":
            found.append([word.rstrip(";") for word in words[number + 2 :] if word.startswith("--")])
    for word in words:
        if " " in word:
            _, equals, value = word.partition("=") if word.startswith("--") else ("", "=", word)
            found += trainings_in(shlex.split(value)) if equals else []
    return found


def test_shellcheck_finds_nothing():
    scripts = [*LAUNCH.rglob("*.sh"), *LAUNCH.rglob("*.sbatch")]
    assert {str(script.relative_to(LAUNCH)) for script in scripts} == {*SCRIPTS, "command_line.sh"}
    shellcheck = shutil.which("shellcheck", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    assert shellcheck, "shellcheck is in the extra `test`: pip install -e '.[test]'"
    done = subprocess.run([shellcheck, "-x", *map(str, scripts)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_comment_at_the_top_and_names_every_option(script, fakes):
    text = (LAUNCH / script).read_text()
    assert os.access(LAUNCH / script, os.X_OK)
    assert "set -euo pipefail" in text
    done = fakes.run(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    options = set(re.findall(r"^    (--[a-z-]+)", text, re.MULTILINE)) - {"--help"}
    assert options <= set(re.findall(r"--[a-z-]+", done.stdout))
    assert not fakes.calls


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("local_gpu.sh", (), "--config=NAME|FILE.py of pixjax train is missing"),
        ("local_gpu.sh", ("--", "--config=demo"), "--workdir=DIR of pixjax train is missing"),
        ("local_gpu.sh", ("--config=demo",), "comes after --"),
        ("local_gpu.sh", ("--restarts=many", "--", *TRAIN), "--restarts=many is not a number"),
        ("slurm.sbatch", ("--config=demo",), "--workdir=DIR of pixjax train is missing"),
        ("slurm.sbatch", TRAIN, "this is not a SLURM job: submit it with sbatch"),
        ("tpu_pod.sh", (), "which command? create, install"),
        ("tpu_pod.sh", ("begin", "my-run"), "begin is not a command"),
        ("tpu_pod.sh", ("create", "--zone=z"), "the name of the TPU is missing"),
        ("tpu_pod.sh", ("status", "my-run"), "--zone=ZONE of the TPU is missing"),
        ("tpu_pod.sh", ("create", "my-run", "--zone=z"), "--type=TYPE is missing"),
        ("tpu_pod.sh", ("create", "my-run", "--zone=z", "--type=v5p-8"), "--version=VERSION of the TPU software"),
        ("tpu_pod.sh", ("start", "my-run", "--zone=z"), "--config=NAME|FILE.py of pixjax train is missing"),
        ("tpu_pod.sh", ("stop", "my-run", "--zone=z", "--", "--config=demo"), "stop takes no arguments of pixjax"),
        ("tpu_pod.sh", ("install", "my-run", "--zone=z", "--ref=main"), "--ref=main is of --repo=URL"),
        ("gke/xpk.sh", ("start",), "the name of the workload is missing"),
        ("gke/xpk.sh", ("start", "my-run", "--cluster=c"), "--zone=ZONE of the cluster is missing"),
        ("gke/xpk.sh", ("image",), "--image=IMAGE is missing"),
        ("gke/xpk.sh", ("start", *XPK, "--slices=two"), "--slices=two is not a number"),
    ],
)
def test_what_is_missing_is_said_in_one_line_before_anything_runs(script, arguments, message, fakes):
    done = fakes.run(script, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not fakes.calls


@pytest.fixture(scope="module")
def dry_runs(tmp_path_factory):
    """What each dry run printed, and who was called meanwhile."""
    printed = []
    for number, (script, *arguments) in enumerate(DRY_RUNS):
        fakes = Fakes(tmp_path_factory.mktemp(f"dry_run_{number}"))
        done = fakes.run(script, *arguments)
        assert done.returncode == 0, done.stderr
        printed.append((done.stdout, fakes.calls))
    return printed


def test_a_dry_run_prints_commands_and_runs_none(dry_runs):
    programs = {"gcloud", "srun", "xpk", "kubectl", "docker", "git", "python3", "touch", "env"}
    programs |= {"mmdebstrap", "buildah"}
    for (script, *arguments), (printed, calls) in zip(DRY_RUNS, dry_runs, strict=True):
        assert calls == [], (script, arguments)
        heads = {os.path.basename(command[0]) for command in commands_of(printed)}
        assert heads, (script, arguments)
        assert heads <= programs | {"python"}, printed


def test_every_training_that_a_launcher_starts_is_one_that_pixjax_understands(dry_runs):
    for (script, *arguments), (printed, _) in zip(DRY_RUNS, dry_runs, strict=True):
        trainings = [training for command in commands_of(printed) for training in trainings_in(command)]
        wanted = (
            "--" in arguments or script == "docker/try_without_docker.sh" or arguments[:2] == ["--dry-run", TRAIN[0]]
        )
        assert bool(trainings) == wanted, printed
        for training in trainings if "--" in arguments or script == "slurm.sbatch" else []:
            assert training[-len(TRAIN) :] == list(TRAIN), printed
            overrides = [word for word in training if word.startswith("--config.")]
            args = make_parser().parse_args(["train", *(word for word in training if word not in overrides)])
            assert args.stopped_exit_code == (0 if script == "local_gpu.sh" else 42)
            load_config(args.config, overrides)


def test_gcloud_knows_every_command_and_flag(dry_runs, tmp_path):
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("there is no Google Cloud CLI here to ask")
    called = [command for printed, _ in dry_runs for command in commands_of(printed) if command[0] == "gcloud"]
    commands = {tuple(word.split("=")[0] for word in command): shlex.join(command) for command in called}.values()
    assert len(commands) >= 10
    (tmp_path / "commands.json").write_text(json.dumps([{"command_string": command} for command in commands]))
    lint = [gcloud, "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'commands.json'}"]
    alone = {"CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1"}
    done = subprocess.run(lint, env=os.environ | alone, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"this Google Cloud CLI does not check commands: {done.stderr.strip()[-200:]}")
    answers = {answer["command_string"]: answer["error_message"] for answer in json.loads(done.stdout)}
    assert answers == dict.fromkeys(commands)


def test_dockerfile_has_the_three_targets_and_copies_what_is_there():
    text = (LAUNCH / "docker" / "Dockerfile").read_text()
    assert re.findall(r"^FROM source AS (\w+)\nRUN pip install '\.\[([\w,]+)\]'", text, re.MULTILINE) == [
        ("cpu", "gcs"), ("cuda", "cuda13,gcs"), ("tpu", "tpu,gcs"),
    ]  # fmt: skip
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert {"gcs", "cuda12", "cuda13", "tpu"} <= extras
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())

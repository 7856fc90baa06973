"""`launch/gke/xpk.sh` with the real xpk, which only says what it would do: its JobSet trains and restarts as it should.

xpk pins what other packages also need, so that it lives in an environment of its own (`pipx install xpk`).
"""

import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from fake_commands import LAUNCH

XPK = os.environ.get("XPK") or shutil.which("xpk")
pytestmark = pytest.mark.skipif(not XPK, reason="no xpk on the PATH: pipx install xpk, or set XPK to its path")

CLUSTER = ("--cluster=c", "--zone=us-east5-a", "--project=p")
TRAIN = ("--config=demo", "--workdir=gs://bucket/mine", "--config.data.sources=text:my texts/*.txt")
PIXJAX = """#!/usr/bin/env bash
trap 'exit 42' TERM
printf '%s\\n' "$@" > arguments
until [[ -f never ]]; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def xpk(tmp_path_factory):
    """`xpk("start", …)` runs `xpk.sh`; the JobSet that it would apply is in `manifest.yaml` of `xpk.folder`."""
    folder = tmp_path_factory.mktemp("xpk")
    manifest = (
        f'if [[ "$1 $2" == "workload create" ]]; then set -- "$@" --output-manifest-file={folder}/manifest.yaml; fi'
    )
    wrapper = f'#!/usr/bin/env bash\n{manifest}\nexec {XPK} "$@" --dry-run --skip-validation < /dev/null\n'
    (folder / "xpk").write_text(wrapper)
    (folder / "xpk").chmod(0o755)

    def call(*arguments: str) -> str:
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)}
        command = ["bash", str(LAUNCH / "gke" / "xpk.sh"), *arguments]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call.folder = folder
    return call


@pytest.fixture(scope="module")
def job_set(xpk) -> dict:
    options = ("--type=v5p-64", "--slices=2", "--image=registry/pixjax:tpu")
    xpk("start", "my-run", *CLUSTER, *options, "--", *TRAIN)
    return yaml.safe_load((xpk.folder / "manifest.yaml").read_text())


def test_the_workload_is_as_large_as_asked_and_restarts_unless_it_is_done(job_set):
    (replicated,) = job_set["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert (replicated["replicas"], job["completions"], job["parallelism"]) == (2, 8, 8)
    assert container["image"] == "registry/pixjax:tpu"
    assert pod["terminationGracePeriodSeconds"] == 120
    assert job_set["spec"]["failurePolicy"]["maxRestarts"] == 30
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    assert {1, 2, 42, 137, 143} <= set(rule["onExitCodes"]["values"])


def test_its_logs_are_where_the_launcher_looks(job_set):
    launcher = (LAUNCH / "gke" / "xpk.sh").read_text()
    (replicated,) = job_set["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    assert f"--container={container['name']} " in launcher
    assert job_set["metadata"]["name"] == "my-run"  # JobSet's own label of its pods


def test_a_pod_that_is_told_to_stop_hands_the_signal_on_and_ends_with_the_exit_code_of_the_training(job_set, tmp_path):
    (container,) = job_set["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["containers"]
    (tmp_path / "pixjax").write_text(PIXJAX)
    (tmp_path / "pixjax").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    pod = subprocess.Popen(container["command"], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (tmp_path / "arguments").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    pod.send_signal(signal.SIGTERM)
    pod.communicate(timeout=240)
    assert pod.returncode == 42
    assert (tmp_path / "arguments").read_text().splitlines() == ["train", "--stopped-exit-code=42", *TRAIN]


def test_xpk_understands_the_other_commands(xpk):
    for command in (("status", *CLUSTER), ("delete", "my-run", *CLUSTER)):
        assert "Exiting XPK cleanly" in xpk(*command)

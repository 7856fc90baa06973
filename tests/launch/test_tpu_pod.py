"""`launch/tpu_pod.sh` against a cloud of two hosts: folders in which what is sent over ssh really runs."""

import pathlib
import subprocess
import time

import pytest
from fake_commands import ROOT

WHERE = ("my-run", "--zone=us-east5-a", "--every=0")
WHAT = (*WHERE, "--type=v5p-16", "--version=v2-alpha-tpuv5")
TRAIN = ("--config=demo", "--workdir=gs://bucket/mine", "--config.data.sources=text:it's mine/*.txt")

# Its state is in files: `request` and `tpu`, as gcloud would say it, and a folder a host.
CLOUD = r"""
cloud=$FAKES/cloud
mkdir -p "$cloud"
create() { echo READY > "$cloud/tpu"; mkdir -p "$cloud"/host-{0,1}; }
case "$*" in
  *"tpu-vm list"*) cat "$cloud/tpu" 2> /dev/null || true ;;
  *"tpu-vm create"*) create ;;
  *"queued-resources list"*)
    cat "$cloud/request" 2> /dev/null || exit 0
    case $(cat "$cloud/request") in
      WAITING_FOR_RESOURCES) echo PROVISIONING > "$cloud/request" ;;
      PROVISIONING) echo ACTIVE > "$cloud/request"; create ;;
    esac ;;
  *"queued-resources create"*) echo WAITING_FOR_RESOURCES > "$cloud/request" ;;
  *" delete "*) rm -rf "$cloud" ;;
  *"tpu-vm scp"*) for host in "$cloud"/host-*; do cp "$5" "$host/${6#*:}"; done ;;
  *"tpu-vm ssh"*)
    hosts=("$cloud"/host-*)
    for argument in "$@"; do
      case $argument in
        --worker=all) ;;
        --worker=*) hosts=("$cloud/host-${argument#*=}") ;;
        --command=*) command=${argument#*=} ;;
      esac
    done
    asked=()
    for host in "${hosts[@]}"; do
      (cd "$host" && HOME=$host exec bash -c "$command") &
      asked+=($!)
    done
    code=0
    for host in "${asked[@]}"; do wait "$host" || code=$?; done
    exit "$code" ;;
esac
"""
# `uv venv` puts a pixjax there that ends as the file `codes` of the test says, a line a start, or when it is stopped.
UV = r"""
if [[ $1 == venv ]]; then
  mkdir -p venv/bin
  cp "$FAKES/pixjax" venv/bin/pixjax
fi
"""
PIXJAX = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >> "$HOME/started"
trap 'exit 42' TERM
code=$(sed -n "$(wc -l < "$HOME/started")p" "$FAKES/codes" 2> /dev/null)
[[ $code ]] && exit "$code"
for ((i = 0; i < 300; i++)); do sleep 0.1; done
"""


@pytest.fixture
def cloud(fakes):
    fakes.answer("gcloud", CLOUD)
    fakes.answer("uv", UV)
    (fakes.folder / "pixjax").write_text(PIXJAX)
    (fakes.folder / "pixjax").chmod(0o755)
    yield fakes
    fakes.run("tpu_pod.sh", "stop", *WHERE)


def hosts(fakes) -> list[pathlib.Path]:
    return sorted((fakes.folder / "cloud").glob("host-*"))


def wait_for(condition, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def starts(fakes) -> list[list[str]]:
    """The arguments of every training that was started, for each host."""
    return [(host / "started").read_text().splitlines() for host in hosts(fakes) if (host / "started").exists()]


def did(fakes) -> list[str]:
    """What gcloud was asked to do, in order, less the looking."""
    words = [call[3:5] for call in fakes.called("gcloud") if call[4] != "list"]
    return [" ".join(pair) for pair in words]


def test_run_creates_installs_and_starts_every_host_in_one_go_and_again_does_nothing(cloud):
    done = cloud.run("tpu_pod.sh", "run", *WHAT, "--spot", "--", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert did(cloud) == [
        "tpu-vm create", "tpu-vm ssh", "tpu-vm ssh", "tpu-vm scp", "tpu-vm ssh", "tpu-vm ssh",
    ]  # fmt: skip
    (create,) = cloud.called("gcloud", "compute", "tpus", "tpu-vm", "create")
    assert create[5:] == [
        "my-run", "--zone=us-east5-a", "--accelerator-type=v5p-16", "--version=v2-alpha-tpuv5", "--spot",
    ]  # fmt: skip
    assert all("--worker=all" in call for call in cloud.called("gcloud") if call[4] in ("ssh", "scp"))
    committed = subprocess.run(
        ["git", "-C", ROOT, "show", "HEAD:pixjax/cli.py"], capture_output=True, check=True
    ).stdout
    for host in hosts(cloud):
        copied = host / "pixjax-launch" / "source"
        assert (copied / "pixjax" / "cli.py").read_bytes() == committed
        assert not (copied / ".git").exists()
    assert ["uv", "pip", "install", "--quiet", "--python=venv/bin/python", "./source[tpu,gcs]"] in cloud.calls
    wait_for(lambda: len(starts(cloud)) == 2)
    assert starts(cloud) == [[" ".join(("train", "--stopped-exit-code=42", *TRAIN))]] * 2

    cloud.forget()
    again = cloud.run("tpu_pod.sh", "run", *WHAT, "--spot", "--", *TRAIN)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is training already") == 2
    assert did(cloud) == ["tpu-vm ssh", "tpu-vm ssh"]  # is it installed? does it train?
    assert [len(lines) for lines in starts(cloud)] == [1, 1]

    said = cloud.run("tpu_pod.sh", "status", *WHERE)
    assert "my-run is READY" in said.stderr
    assert said.stdout.count("is training\n") == 2
    busy = cloud.run("tpu_pod.sh", "install", *WHERE)
    assert busy.returncode != 0
    assert "is training: stop it first" in busy.stderr

    stopped = cloud.run("tpu_pod.sh", "stop", *WHERE)
    assert stopped.returncode == 0, stopped.stderr
    assert [(host / "pixjax-launch" / "train.code").read_text() for host in hosts(cloud)] == ["42\n"] * 2


def test_after_a_preemption_the_same_command_replaces_the_tpu_and_starts_again(cloud):
    (cloud.folder / "cloud" / "host-0").mkdir(parents=True)
    (cloud.folder / "cloud" / "tpu").write_text("PREEMPTED\n")
    cloud.answer("git", 'mkdir "${@: -1}"')
    clone = ("--repo=https://example.com/pixjax", "--ref=v1")
    done = cloud.run("tpu_pod.sh", "run", *WHAT, *clone, "--", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert did(cloud)[:2] == ["tpu-vm delete", "tpu-vm create"]
    assert "my-run is PREEMPTED" in done.stderr
    cloning = ["git", "clone", "--quiet", "--depth=1", "--branch=v1", "https://example.com/pixjax", "source"]
    assert cloud.called("git") == [cloning] * 2
    wait_for(lambda: len(starts(cloud)) == 2)


def test_a_queued_request_is_waited_for_and_deleted_with_its_tpu(cloud):
    done = cloud.run("tpu_pod.sh", "create", *WHAT, "--queued", "--spot", "--project=mine")
    assert done.returncode == 0, done.stderr
    (create,) = cloud.called("gcloud", "compute", "tpus", "queued-resources", "create")
    assert create[5:] == [
        "my-run", "--node-id=my-run", "--zone=us-east5-a", "--project=mine", "--accelerator-type=v5p-16",
        "--runtime-version=v2-alpha-tpuv5", "--spot",
    ]  # fmt: skip
    told = [line for line in done.stderr.splitlines() if " is " in line]
    assert [line.rsplit(" ", 1)[1] for line in told] == ["WAITING_FOR_RESOURCES", "PROVISIONING", "READY"]
    (cloud.folder / "cloud" / "request").write_text("SUSPENDED\n")  # preempted
    assert cloud.run("tpu_pod.sh", "create", *WHAT, "--queued").returncode == 0
    cloud.forget()
    assert cloud.run("tpu_pod.sh", "delete", *WHERE, "--queued").returncode == 0
    assert [call[4:] for call in cloud.calls] == [["delete", "my-run", "--zone=us-east5-a", "--force", "--quiet"]]
    (cloud.folder / "cloud").mkdir()
    (cloud.folder / "cloud" / "request").write_text("FAILED\n")
    failed = cloud.run("tpu_pod.sh", "create", *WHAT, "--queued")
    assert failed.returncode == 2
    assert "my-run is FAILED" in failed.stderr.splitlines()[-1]


@pytest.fixture
def one_host(cloud):
    cloud.answer("gcloud", CLOUD.replace("host-{0,1}", "host-0"))
    return cloud


def test_watch_starts_a_preempted_run_again_until_it_is_done(one_host):
    (one_host.folder / "codes").write_text("42\n1\n2\n42\n1\n0\n")
    done = one_host.run("tpu_pod.sh", "watch", *WHAT, "--", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "tpu_pod.sh: the training is done"
    assert len(starts(one_host)[0]) == 6


def test_watch_replaces_a_tpu_that_is_preempted_and_starts_where_a_host_was_rebooted(one_host):
    """The first training has the TPU preempted, the second kills itself and its shell, the third is done."""
    (one_host.folder / "pixjax").write_text(
        r"""#!/usr/bin/env bash
echo >> "$FAKES/starts"
case $(wc -l < "$FAKES/starts") in
  1) echo PREEMPTED > "$FAKES/cloud/tpu"; sleep 2 ;;
  2) kill -KILL -- -$PPID ;;
esac
"""
    )
    done = one_host.run("tpu_pod.sh", "watch", *WHAT, "--", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert did(one_host).count("tpu-vm create") == 2
    assert "my-run is PREEMPTED" in done.stderr
    assert "the training ended (exit code gone)" in done.stderr
    assert (one_host.folder / "starts").read_text() == "\n\n\n"


def test_watch_gives_up_on_a_run_that_fails_three_times_in_a_row(one_host):
    (one_host.folder / "codes").write_text("1\n2\n1\n0\n")
    done = one_host.run("tpu_pod.sh", "watch", *WHAT, "--", *TRAIN)
    assert done.returncode == 2
    assert "failed three times in a row, the last with exit code 1" in done.stderr.splitlines()[-1]
    assert len(starts(one_host)[0]) == 3


def test_an_answer_that_does_not_come_is_not_taken_for_a_tpu_that_is_not_there(fakes):
    fakes.answer("gcloud", "echo 'cannot reach it' >&2; exit 1")
    done = fakes.run("tpu_pod.sh", "create", *WHAT)
    assert done.returncode == 1
    assert [call[4] for call in fakes.calls] == ["list"]


def test_the_log_of_one_host_is_followed(fakes):
    assert fakes.run("tpu_pod.sh", "logs", *WHERE, "--worker=3").returncode == 0
    assert fakes.calls == [[
        "gcloud", "compute", "tpus", "tpu-vm", "ssh", "my-run", "--zone=us-east5-a", "--worker=3",
        "--command=tail -n 100 -F pixjax-launch/train.log",
    ]]  # fmt: skip

"""What Kubernetes is given: the calls of `launch/gke/xpk.sh`, and the manifests that are applied by hand."""

import argparse
import shlex

import pytest
import yaml
from fake_commands import LAUNCH, ROOT

from pixjax.cli import make_parser
from pixjax.config_file import load_config

TRAIN = ("--config=demo", "--workdir=gs://bucket/mine", "--config.data.sources=text:my texts/*.txt")
CLUSTER = ("--cluster=c", "--zone=us-east5-a", "--project=p")


def test_a_workload_runs_the_training_in_the_image_and_restarts_it(fakes):
    options = ("--type=v5p-64", "--slices=2", "--image=registry/pixjax:tpu")
    done = fakes.run("gke/xpk.sh", "start", "my-run", *CLUSTER, *options, "--", *TRAIN)
    assert done.returncode == 0, done.stderr
    (call,) = fakes.calls
    assert call[:-1] == [
        "xpk", "workload", "create", "--workload=my-run", *CLUSTER, "--tpu-type=v5p-64", "--num-slices=2",
        "--docker-image=registry/pixjax:tpu", "--max-restarts=30", "--restart-on-exit-codes=1,2,75",
        "--termination-grace-period-seconds=120",
    ]  # fmt: skip
    name, _, command = call[-1].partition("=")
    assert name == "--command"
    assert shlex.split(command) == ["exec", "pixjax", "train", "--stopped-exit-code=42", *TRAIN]


def test_the_image_is_built_from_this_checkout_and_pushed(fakes):
    assert fakes.run("gke/xpk.sh", "image", "--image=registry/pixjax:tpu").returncode == 0
    build, push = fakes.calls
    assert build[:2] + build[3:] == ["docker", "build", "--target=tpu", "--tag=registry/pixjax:tpu", str(ROOT)]
    assert build[2] == f"--file={LAUNCH / 'docker' / 'Dockerfile'}"
    assert push == ["docker", "push", "registry/pixjax:tpu"]


def test_logs_status_and_delete_are_of_that_workload(fakes):
    for command in (("logs", "my-run"), ("status", *CLUSTER), ("delete", "my-run", *CLUSTER)):
        assert fakes.run("gke/xpk.sh", *command).returncode == 0
    logs, status, delete = fakes.calls
    assert logs[:3] == ["kubectl", "logs", "--follow"]
    assert "jobset.sigs.k8s.io/jobset-name=my-run,jobset.sigs.k8s.io/job-index=0" in logs[-1]
    assert status == ["xpk", "workload", "list", *CLUSTER]
    assert delete == ["xpk", "workload", "delete", "--workload=my-run", *CLUSTER, "--force"]


def job_and_container(name: str) -> tuple[dict, dict, dict]:
    manifest = yaml.safe_load((LAUNCH / "gke" / name).read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = manifest["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    return manifest, replicated, container


def arguments_of(container: dict) -> argparse.Namespace:
    assert container["command"] == ["pixjax", "train"]
    args = make_parser().parse_args(["train", *(a.replace("$(NODE)", "1") for a in container["args"])])
    load_config(args.config, [])
    return args


@pytest.mark.parametrize("name", ["jobset-tpu.yaml", "jobset-gpu.yaml"])
def test_a_manifest_restarts_all_pods_when_one_was_stopped(name):
    manifest, replicated, container = job_and_container(name)
    job = replicated["template"]["spec"]
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] >= 10
    assert job["completions"] == job["parallelism"]
    assert job["backoffLimit"] == 0
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert arguments_of(container).stopped_exit_code not in (0, 1, 2)
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_a_slice_has_as_many_pods_as_its_topology_has_hosts():
    manifest, replicated, container = job_and_container("jobset-tpu.yaml")
    job = replicated["template"]["spec"]
    topology = job["template"]["spec"]["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = container["resources"]["limits"]["google.com/tpu"]
    sides = [int(side) for side in topology.split("x")]
    assert sides[0] * sides[1] * sides[2] == chips * job["completions"]
    assert manifest["metadata"]["annotations"] == {
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
    }
    assert arguments_of(container).coordinator == ""  # jax finds the others by what GKE sets


def test_gpu_pods_meet_at_the_first_by_the_name_that_jobset_gives_it():
    manifest, replicated, container = job_and_container("jobset-gpu.yaml")
    job = replicated["template"]["spec"]
    args = arguments_of(container)
    name = manifest["metadata"]["name"]
    port = container["ports"][0]["containerPort"]
    assert args.coordinator == f"{name}-{replicated['name']}-0-0.{name}:{port}"
    assert args.num_processes == job["completions"]
    (variable,) = container["env"]
    assert f"--process-id=$({variable['name']})" in container["args"]
    assert "job-completion-index" in variable["valueFrom"]["fieldRef"]["fieldPath"]
    assert not job["template"]["spec"].get("hostNetwork")  # the name would not lead to the pod

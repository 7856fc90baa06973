"""The manifests against the schemas that Kubernetes and JobSet publish, as packages bundle them: `pixjax[launch]`."""

import copy

import pytest
import yaml
from fake_commands import LAUNCH

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate: pixjax[launch]")
pytest.importorskip("kubeflow_trainer_api", reason="no kubeflow-trainer-api: pixjax[launch]")
job_set_spec = pytest.importorskip("kubeflow_trainer_api.models.jobset_v1alpha2_job_set_spec")

MANIFESTS = ("jobset-tpu.yaml", "jobset-gpu.yaml")


def manifest_of(name: str) -> dict:
    return yaml.safe_load((LAUNCH / "gke" / name).read_text())


def check_jobs(manifest: dict) -> None:
    """The jobs of a JobSet and its metadata, as Jobs of Kubernetes; fields that the schema lacks are errors."""
    for replicated in manifest["spec"]["replicatedJobs"]:
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": manifest["metadata"], **replicated["template"]}
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def known_to_jobset(manifest: dict) -> tuple[dict, dict]:
    """A spec, and what JobSet's own model writes of it again: that leaves out what it does not know."""
    spec = copy.deepcopy(manifest["spec"])
    for replicated in spec["replicatedJobs"]:
        replicated["template"] = {}  # a Job of Kubernetes
    return spec, job_set_spec.JobsetV1alpha2JobSetSpec.from_dict(copy.deepcopy(spec)).to_dict()


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_field_of_a_manifest_is_one_of_kubernetes_or_of_jobset(name):
    manifest = manifest_of(name)
    assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
    check_jobs(manifest)
    written, read = known_to_jobset(manifest)
    assert read == written


def test_the_check_sees_a_misspelt_field_and_a_wrong_type():
    manifest = manifest_of("jobset-gpu.yaml")
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    for wrong in ({"hostnetwork": True}, {"terminationGracePeriodSeconds": "soon"}):
        changed = copy.deepcopy(manifest)
        changed["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"] = pod | wrong
        with pytest.raises(kubernetes_validate.ValidationError):
            check_jobs(changed)
    manifest["spec"]["failurePolicy"] = {"maxRestart": 30}
    written, read = known_to_jobset(manifest)
    assert read != written
    manifest["spec"]["failurePolicy"] = {"maxRestarts": "often"}
    with pytest.raises(ValueError, match="maxRestarts"):
        known_to_jobset(manifest)

"""The ConfigMaps that the pod mounts at /etc/finetune: `run.yaml`, which never changes, and the CA of the report endpoint.

`run.yaml` decides what runs. Kubernetes keeps its ConfigMap from being changed, and its digest in the Job's template lets the
trainer notice one that was replaced. The CA is renewed while pods run, and is the same for all jobs: a namespace has one ConfigMap for it.
"""

import hashlib
import json

from finetune_api.base import JsonObject
from finetune_api.report import ENV_CONFIG_DIGEST
from finetune_api.run import JobReference, RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.well_known import TRAINER
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.job.names import AUTHORITY
from finetune_operator.manifests.metadata import shared_metadata

RUN_FILE = "run.yaml"
CA_FILE = "ca.crt"


def build_config_map(metadata: JsonObject, finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> JsonObject:
    """ConfigMap with `run.yaml` of one job."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": finetunejob.names.config_map, **metadata},
        "immutable": True,
        "data": {RUN_FILE: _text(run_config(finetunejob, spec))},
    }


def build_authority(namespace: str, ca: str) -> JsonObject:
    """ConfigMap with `ca`, the PEM bundle that the report endpoint's certificate verifies against."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": AUTHORITY, **shared_metadata(namespace)},
        "data": {CA_FILE: ca},
    }


def digest_of(config_map: JsonObject) -> str:
    """Return `sha256:…` of the `run.yaml` in a ConfigMap, for the Job's template."""
    return "sha256:" + hashlib.sha256(config_map["data"][RUN_FILE].encode()).hexdigest()


def mounted_digest(job: JsonObject) -> str | None:
    """Return the digest of the `run.yaml` that a Job's pods expect, by the Job's template; None if it names none."""
    pod = job["spec"].get("template", {}).get("spec", {})
    trainer: JsonObject = next((each for each in pod.get("containers", ()) if each["name"] == TRAINER), {})
    return next((each.get("value") for each in trainer.get("env") or () if each["name"] == ENV_CONFIG_DIGEST), None)


def run_config(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> RunConfig:
    """What the trainer reads."""
    job = JobReference(namespace=finetunejob.namespace, name=finetunejob.name, uid=finetunejob.uid)
    return RunConfig.of(spec, finetunejob.output, job)


def _text(config: RunConfig) -> str:
    # JSON is YAML, and a number in it is a number to every reader of YAML.
    return json.dumps(config.to_file(), indent=2) + "\n"

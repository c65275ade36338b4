"""`run.yaml`, which decides what runs: an annotation of the pods of a Job, which the kubelet writes as a file into /etc/finetune.

Whoever may edit pods can change the annotation of one, and whoever may edit Jobs that of the template, as long as the Job is suspended.
Nobody can change the environment: the digest there lets the trainer notice.
"""

import hashlib
from typing import Final

from pydantic_core import to_json

from finetune_api.base import JsonObject
from finetune_api.run import JobReference, RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.finetunejob import FineTuneJob

RUN_FILE: Final = "run.yaml"
ANNOTATION_RUN: Final = f"finetune.dev/{RUN_FILE}"


def run_config(finetunejob: FineTuneJob, spec: FineTuneJobSpec) -> RunConfig:
    """What the trainer reads."""
    job = JobReference(namespace=finetunejob.namespace, name=finetunejob.name, uid=finetunejob.uid)
    return RunConfig.of(spec, finetunejob.output, job)


def run_file(config: RunConfig) -> str:
    """The text of `run.yaml`."""
    # JSON is YAML, and a number in it is a number to every reader of YAML.
    # Python's own writer of indented JSON takes ten times as long.
    return to_json(config.to_file(), indent=2).decode() + "\n"


def digest_of(text: str) -> str:
    """Return `sha256:…` of the text of `run.yaml`."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def run_file_source() -> JsonObject:
    """The source of a projected volume that holds `run.yaml`."""
    field = {"fieldPath": f"metadata.annotations['{ANNOTATION_RUN}']"}
    return {"downwardAPI": {"items": [{"path": RUN_FILE, "fieldRef": field}]}}


def mounted_config_map(job: JsonObject) -> str | None:
    """Return the name of the ConfigMap with `run.yaml` that a Job's pods mount; None if they have it from an annotation.

    Operators made one for each run before.
    """
    volumes = job["spec"].get("template", {}).get("spec", {}).get("volumes") or ()
    sources = [
        source
        for each in volumes
        if each["name"] == "config"
        for source in each.get("projected", {}).get("sources") or ()
    ]
    maps = [source["configMap"] for source in sources if "configMap" in source]
    return next(
        (each["name"] for each in maps if any(item["path"] == RUN_FILE for item in each.get("items") or ())), None
    )

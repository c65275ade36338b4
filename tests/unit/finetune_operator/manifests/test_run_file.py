"""run.yaml: what the trainer gets, and the digest by which the pods of both Jobs know it."""

import hashlib
import json

import pytest
from tests.unit.finetune_operator.samples import UID, children, parsed, run_file_of

from finetune_api.arguments import MAX_ARGUMENTS, MAX_BYTES
from finetune_api.run import RunConfig
from finetune_operator.manifests.run_file import mounted_config_map, run_config

ANNOTATIONS = 256 * 1024
"""Bytes that Kubernetes takes of all annotations of an object."""


def test_the_trainer_reads_from_run_yaml_what_the_user_asked_for() -> None:
    given = parsed(training={"learningRate": 5e-5, "arguments": {"warmup_steps": 100}}, resources={"gpus": 0})
    assert given.spec is not None

    text = run_file_of(children(given).job)

    assert RunConfig.model_validate(json.loads(text)) == run_config(given, given.spec)
    assert json.loads(text)["job"] == {"namespace": "team-a", "name": "yelp", "uid": UID}
    assert json.loads(text)["output"] == {"uri": "pvc://yelp-0f9be1d4"}
    assert json.loads(text)["gpus"] == 0
    assert json.loads(text)["training"]["arguments"] == {"warmup_steps": 100}


def test_the_preflight_and_the_training_run_by_one_digest() -> None:
    made = children(parsed())
    jobs = (made.job, made.preflight_job)
    digest = "sha256:" + hashlib.sha256(run_file_of(made.job).encode()).hexdigest()

    named = [
        [each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"] if "DIGEST" in each["name"]]
        for job in jobs
    ]

    assert run_file_of(made.job) == run_file_of(made.preflight_job)
    assert named == [[digest], [digest]]


def test_an_annotation_that_the_user_gives_its_pods_takes_not_the_place_of_run_yaml() -> None:
    own = {"finetune.dev/run.yaml": "{}", "team": "a"}

    made = children(parsed(pod={"annotations": own}))

    annotations = made.job["spec"]["template"]["metadata"]["annotations"]
    assert annotations.keys() == own.keys()
    assert annotations["team"] == "a"
    assert json.loads(annotations["finetune.dev/run.yaml"])["task"]
    assert "finetune.dev/run.yaml" not in made.job["metadata"]["annotations"]


@pytest.mark.parametrize("value", [["x"] * 64, ["\U0001f600" * 60]], ids=["lists", "four bytes"])
def test_with_the_longest_arguments_it_takes_less_than_half_of_what_a_pod_has_for_annotations(value: list[str]) -> None:
    most = MAX_BYTES // (20 + len(json.dumps(value, ensure_ascii=False).encode()))
    arguments = {f"argument_{number}": value for number in range(min(most, MAX_ARGUMENTS))}

    text = run_file_of(children(parsed(training={"arguments": arguments})).job)

    assert json.loads(text)["training"]["arguments"] == arguments
    assert 2 * len(text.encode()) < ANNOTATIONS


def test_a_job_of_before_names_the_config_map_that_its_pods_mount_and_one_of_today_none() -> None:
    of_today = children(parsed()).job
    items = [{"key": "run.yaml", "path": "run.yaml"}]
    of_before = {"sources": [{"configMap": {"name": "yelp-run", "items": items}}]}
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "config", "projected": of_before}]

    named = mounted_config_map({"spec": {"template": {"spec": {"volumes": volumes}}}})

    assert (named, mounted_config_map(of_today)) == ("yelp-run", None)

"""run.yaml: what the trainer gets, and the digest by which both Jobs know it."""

import hashlib
import json

from tests.unit.finetune_operator.samples import UID, children, parsed

from finetune_api.run import RunConfig
from finetune_operator.manifests.config_map import run_config


def test_the_trainer_reads_from_run_yaml_what_the_user_asked_for() -> None:
    given = parsed(training={"learningRate": 5e-5, "arguments": {"warmup_steps": 100}}, resources={"gpus": 0})
    assert given.spec is not None

    text = children(given).config_map["data"]["run.yaml"]

    assert RunConfig.model_validate(json.loads(text)) == run_config(given, given.spec)
    assert json.loads(text)["job"] == {"namespace": "team-a", "name": "yelp", "uid": UID}
    assert json.loads(text)["output"] == {"uri": "pvc://yelp-0f9be1d4"}
    assert json.loads(text)["gpus"] == 0
    assert json.loads(text)["training"]["arguments"] == {"warmup_steps": 100}


def test_the_preflight_and_the_training_run_by_one_digest() -> None:
    made = children(parsed())
    digest = "sha256:" + hashlib.sha256(made.config_map["data"]["run.yaml"].encode()).hexdigest()

    named = [
        [each["value"] for each in job["spec"]["template"]["spec"]["containers"][0]["env"] if "DIGEST" in each["name"]]
        for job in (made.job, made.preflight_job)
    ]

    assert named == [[digest], [digest]]

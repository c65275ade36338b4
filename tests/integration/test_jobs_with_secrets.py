"""Credentials reach the trainer from Secrets, and come out nowhere."""

import base64
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, finetunejob
from tests.s3_server import BUCKET, S3

HUB_TOKEN = "hf_kept-to-itself-9876543210"


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.mark.slow
def test_a_job_writes_to_a_bucket_with_the_keys_of_its_secret_and_shows_them_to_nobody(
    space: Space, s3_server: S3, operator_process: OperatorProcess
) -> None:
    job = finetunejob(
        "bucket",
        model={"source": "pvc://seed/model", "secretRef": {"name": "hub"}},
        training={"epochs": 1, "batchSize": 8, "learningRate": 0.01},
        output={"uri": f"s3://{BUCKET}/team-a/bucket", "secretRef": {"name": "s3-keys"}},
    )
    s3_server.proxy.work()
    space.apply(secret("s3-keys", **s3_server.variables), secret("hub", HF_TOKEN=HUB_TOKEN), job)

    status = space.end_of("bucket")
    selector = "--selector=finetune.dev/job-name=bucket"
    shown = [
        space.kubectl("get", "ftj,jobs,pods,pvc,services", selector, "-o", "yaml"),
        space.kubectl("get", "ftj", "bucket", "-o", "yaml"),
        space.kubectl("get", "events", "-o", "yaml"),
        space.kubectl("logs", selector, "--tail=-1"),
        operator_process.log.read_text(),
    ]
    stored = s3_server.names("team-a/bucket/")

    assert status["phase"] == "Succeeded", status
    assert status["model"]["uri"] == f"s3://{BUCKET}/team-a/bucket/model"
    assert status["latestCheckpoint"]["uri"] == f"s3://{BUCKET}/team-a/bucket/checkpoints/step-000016"
    assert "team-a/bucket/model/config.json" in stored
    assert space.list("pvc", "finetune.dev/job-name=bucket") == []
    for value in (s3_server.secret, HUB_TOKEN):
        told = (value, base64.b64encode(value.encode()).decode())
        assert not [text for text in shown for each in told if each in text]

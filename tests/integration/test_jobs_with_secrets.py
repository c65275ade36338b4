"""Credentials reach the trainer from Secrets, and come out nowhere."""

import base64
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.integration.fixtures import OperatorProcess, Space, finetunejob

BUCKET = "models"
SECRET_KEY = "kept-to-itself-0123456789"
HUB_TOKEN = "hf_kept-to-itself-9876543210"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of an S3 server with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="anyone",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def test_a_job_writes_to_a_bucket_with_the_keys_of_its_secret_and_shows_them_to_nobody(
    space: Space, s3: Any, operator_process: OperatorProcess
) -> None:
    job = finetunejob(
        "bucket",
        model={"source": "pvc://seed/model", "secretRef": {"name": "hub"}},
        training={"epochs": 1, "batchSize": 8, "learningRate": 0.01},
        output={"uri": f"s3://{BUCKET}/team-a/bucket", "secretRef": {"name": "s3-keys"}},
    )
    endpoint = s3.meta.endpoint_url
    keys = secret("s3-keys", AWS_ACCESS_KEY_ID="someone", AWS_SECRET_ACCESS_KEY=SECRET_KEY, AWS_ENDPOINT_URL=endpoint)
    space.apply(keys, secret("hub", HF_TOKEN=HUB_TOKEN), job)

    status = space.end_of("bucket", 240)
    selector = "--selector=finetune.dev/job-name=bucket"
    shown = [
        space.kubectl("get", "ftj,jobs,pods,configmaps,pvc,services", selector, "-o", "yaml"),
        space.kubectl("get", "ftj", "bucket", "-o", "yaml"),
        space.kubectl("get", "events", "-o", "yaml"),
        space.kubectl("logs", selector, "--tail=-1"),
        operator_process.log.read_text(),
    ]
    stored = {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}

    assert status["phase"] == "Succeeded", status
    assert status["model"]["uri"] == f"s3://{BUCKET}/team-a/bucket/model"
    assert status["latestCheckpoint"]["uri"] == f"s3://{BUCKET}/team-a/bucket/checkpoints/step-000016"
    assert "team-a/bucket/model/config.json" in stored
    assert space.list("pvc", "finetune.dev/job-name=bucket") == []
    for value in (SECRET_KEY, HUB_TOKEN):
        told = (value, base64.b64encode(value.encode()).decode())
        assert not [text for text in shown for each in told if each in text]

"""The environment of the trainer's container."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import children, parsed


@pytest.mark.parametrize(
    ("resources", "threads"),
    [
        ({"gpus": 0, "cpu": "500m"}, "1"),
        ({"gpus": 0, "cpu": "1500m"}, "2"),
        ({"gpus": 4, "cpu": "32"}, "8"),
        ({"gpus": 0, "processesPerNode": 3, "cpu": "4"}, "2"),
        ({"gpus": 8, "cpu": "4"}, "1"),
    ],
)
def test_the_processes_of_a_pod_share_the_cores_of_its_limit(resources: dict[str, Any], threads: str) -> None:
    container = children(parsed(resources=resources)).job["spec"]["template"]["spec"]["containers"][0]

    assert [each["value"] for each in container["env"] if each["name"] == "OMP_NUM_THREADS"] == [threads]

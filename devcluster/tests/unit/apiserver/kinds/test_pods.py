"""What the API server sets in a pod."""

from typing import Any

import pytest

from devcluster.apiserver.kinds.pods import default_pod_spec, qos_class


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"limits": {"nvidia.com/gpu": "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
        ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_the_quality_of_service_follows_the_resources(resources: dict[str, Any], expected: str) -> None:
    spec = {"containers": [{"name": "a", "image": "x", "resources": resources}]}
    default_pod_spec(spec)

    assert qos_class(spec) == expected

"""What the caches keep of any object."""

from collections.abc import Callable

import pytest

from finetune_api.base import JsonObject
from finetune_operator.controller.packed_job import trim_finetunejob
from finetune_operator.controller.profiles import trim_profile
from finetune_operator.job.parse_children import trim_job, trim_pod
from finetune_operator.kube.quotas import trim_quota


@pytest.mark.parametrize("trim", [trim_finetunejob, trim_job, trim_pod, trim_profile, trim_quota])
def test_what_tells_one_object_and_its_version_from_another_is_kept(trim: Callable[[JsonObject], JsonObject]) -> None:
    """A list is compared with what a watch has brought by these: whoever was made anew under a name is another."""
    identity = {"name": "one", "uid": "of-one", "resourceVersion": "7"}

    kept = trim({"metadata": {**identity, "namespace": "ns"}, "spec": {}, "status": {}})["metadata"]

    assert {name: kept.get(name) for name in identity} == identity

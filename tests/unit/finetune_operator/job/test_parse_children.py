"""What the caches keep of Jobs and pods. That what is read of them is the same is seen in controller/test_any_object.py."""

import json
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import job, merged, pod

from finetune_operator.job.names import ANNOTATION_PROOF, ANNOTATION_REQUESTED
from finetune_operator.job.parse_children import trim_job, trim_pod

LONG = "x" * 30_000


@pytest.mark.parametrize(
    "kept",
    [
        trim_job(merged(job(), {"metadata": {"annotations": {ANNOTATION_PROOF: LONG, ANNOTATION_REQUESTED: LONG}}})),
        trim_job(merged(job(), {"spec": {"template": {"spec": {"containers": [{"name": "trainer", "image": LONG}]}}}})),
        trim_pod(merged(pod(), {"spec": {"containers": [{"name": "trainer", "image": LONG}]}})),
        trim_pod(merged(pod(), {"metadata": {"annotations": {ANNOTATION_REQUESTED: LONG}}})),
    ],
    ids=["annotations of a Job", "image of a Job", "image of a pod", "annotations of a pod"],
)
def test_whatever_somebody_puts_into_an_object_with_our_label_a_cache_keeps_little_of_it(kept: dict[str, Any]) -> None:
    assert len(json.dumps(kept)) < 3000

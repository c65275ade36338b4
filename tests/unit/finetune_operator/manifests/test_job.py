"""What is changed of a Job after it is made."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import children, parsed, run_file_of

from finetune_operator.manifests.job import changes, changes_after_the_end, was_suspended
from finetune_operator.manifests.run_file import ANNOTATION_RUN


@pytest.mark.parametrize(
    ("before", "spec", "changed"),
    [
        ('{"backoffLimit": 3, "suspend": false}', {}, None),
        ('{"backoffLimit": 3, "suspend": false}', {"suspend": True}, {"suspend": True}),
        ('{"backoffLimit": 3, "suspend": true}', {}, {"suspend": False}),
        (
            '{"activeDeadlineSeconds": 60, "backoffLimit": 3, "suspend": false}',
            {},
            {"activeDeadlineSeconds": None},
        ),
        (
            '{"backoffLimit": 3, "suspend": false}',
            {"runPolicy": {"backoffLimit": 5, "activeDeadlineSeconds": 60}},
            {"backoffLimit": 5, "activeDeadlineSeconds": 60},
        ),
        # The time to live is nothing for a Job that runs.
        ('{"backoffLimit": 3, "suspend": false}', {"runPolicy": {"ttlSecondsAfterFinished": 60}}, None),
        # Somebody took our annotation away, or wrote nonsense into it: all wishes are said again.
        (None, {}, {"backoffLimit": 3, "suspend": False}),
        ("[]", {}, {"backoffLimit": 3, "suspend": False}),
        ("}", {}, {"backoffLimit": 3, "suspend": False}),
        ("[" * 1024, {}, {"backoffLimit": 3, "suspend": False}),
        ('{"a":' * 204, {}, {"backoffLimit": 3, "suspend": False}),
    ],
)
def test_only_a_change_of_our_own_wish_is_sent_to_a_running_job(
    before: str | None, spec: dict[str, Any], changed: dict[str, Any] | None
) -> None:
    given = parsed(**spec)
    assert given.spec is not None

    patch = changes(before, given.spec)

    assert (patch and patch["spec"]) == changed
    if patch:
        assert changes(patch["metadata"]["annotations"]["finetune.dev/requested"], given.spec) is None


def test_a_job_that_a_queue_holds_is_suspended_and_never_started() -> None:
    started, stopped = parsed(runPolicy={"backoffLimit": 5}).spec, parsed(suspend=True).spec
    assert started is not None
    assert stopped is not None
    before = '{"backoffLimit": 3, "suspend": true}'

    patch = changes(before, started, started_by_queue=True)

    assert patch is not None
    assert patch["spec"] == {"backoffLimit": 5}
    noted = patch["metadata"]["annotations"]["finetune.dev/requested"]
    assert (was_suspended(before), was_suspended(noted)) == (True, False)
    back = changes(noted, stopped, started_by_queue=True)
    assert back is not None
    assert back["spec"]["suspend"] is True


def test_labels_of_kueue_are_on_the_job_and_its_annotations_on_job_and_pods() -> None:
    of_kueue = {
        "kueue.x-k8s.io/podset-required-topology": "cloud.provider.com/topology-block",
        "provreq.kueue.x-k8s.io/maxRunDurationSeconds": "3600",
    }
    given = parsed(
        pod={"labels": {"kueue.x-k8s.io/priority-class": "high"}, "annotations": {**of_kueue, "example.com/note": "x"}}
    )

    made = children(given).job

    template = made["spec"]["template"]["metadata"]
    assert made["metadata"]["annotations"].keys() == {*of_kueue, "finetune.dev/requested"}
    assert template["annotations"] == {**of_kueue, "example.com/note": "x", ANNOTATION_RUN: run_file_of(made)}
    assert made["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"


def test_the_time_to_live_is_handed_over_after_the_end_once() -> None:
    given = parsed(runPolicy={"ttlSecondsAfterFinished": 60})
    assert given.spec is not None

    patch = changes_after_the_end('{"backoffLimit": 3, "suspend": false}', given.spec)

    assert patch == {
        "metadata": {
            "annotations": {
                "finetune.dev/requested": '{"backoffLimit": 3, "suspend": false, "ttlSecondsAfterFinished": 60}'
            }
        },
        "spec": {"ttlSecondsAfterFinished": 60},
    }
    assert changes_after_the_end(patch["metadata"]["annotations"]["finetune.dev/requested"], given.spec) is None
    assert changes_after_the_end('{"suspend": false}', parsed().spec or given.spec) is None

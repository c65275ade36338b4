"""Why a job waits."""

from tests.unit.finetune_operator.samples import job, line, observation, parsed, pod
from tests.unit.finetune_operator.status.statuses import compute

from finetune_operator.job.observation import Cause


def test_a_pod_that_does_not_run_yet_is_explained() -> None:
    unscheduled = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available."}
    ]
    quota = Cause("FailedCreate", "exceeded quota: small")
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}

    lines = [
        line(compute(parsed(), observation(job()))),
        line(compute(parsed(), observation(job(), blocked=quota))),
        line(compute(parsed(), observation(job(), pod(node=None, conditions=unscheduled)))),
        line(compute(parsed(), observation(job(), pod(state=pull)))),
        line(compute(parsed(), observation(job(), pod()))),
        line(compute(parsed(), observation(job(), pod(), blocked=Cause("FailedMount", "no Secret x")))),
    ]

    assert lines == [
        ("Pending", "WaitingForPod", "waiting for a pod"),
        ("Pending", "FailedCreate", "the pod cannot be created: exceeded quota: small"),
        ("Pending", "Unschedulable", "no node can take the pod: 0/1 nodes are available."),
        ("Pending", "ImagePullBackOff", "the image trainer:1 cannot be pulled: not found"),
        ("Pending", "ContainerCreating", "starting the container"),
        ("Pending", "FailedMount", "a volume cannot be mounted: no Secret x"),
    ]

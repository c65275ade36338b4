"""Why a job waits."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import job, line, observation, parsed, pod, stamp
from tests.unit.finetune_operator.status.statuses import compute

from finetune_operator.job.observation import Cause

PULL = "the image trainer:1 cannot be pulled: not found; check the operator's default image, or name one in pod.image"


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
        ("Pending", "ImagePullBackOff", PULL),
        ("Pending", "ContainerCreating", "starting the container"),
        ("Pending", "FailedMount", "a volume cannot be mounted: no Secret x"),
    ]


def pulls(reason: str, message: str) -> dict[str, Any]:
    scheduled = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(11)}]
    return pod(state={"waiting": {"reason": reason, "message": message}}, conditions=scheduled)


WHY = 'failed to pull and unpack image "docker.io/library/nope:1": docker.io/library/nope:1: not found'


@pytest.mark.parametrize(
    "waiting",
    [
        pulls("ErrImagePull", f"rpc error: code = NotFound desc = {WHY}"),
        pulls("ErrImagePull", WHY),
        pulls("ImagePullBackOff", f'Back-off pulling image "trainer:1": ErrImagePull: {WHY}'),
        pulls(
            "ImagePullBackOff", f'Back-off pulling image "trainer:1": ErrImagePull: rpc error: code = X desc = {WHY}'
        ),
        # As kubelets before 1.31 write it: the cause is in the Event alone.
        pulls("ImagePullBackOff", 'Back-off pulling image "trainer:1"'),
    ],
)
def test_an_image_that_cannot_be_pulled_is_one_line_from_the_first_try_to_the_last(waiting: dict[str, Any]) -> None:
    tried = Cause("Failed", f'Failed to pull image "trainer:1": rpc error: code = NotFound desc = {WHY}', times=4)

    status = compute(parsed(pod={"image": "trainer:1"}), observation(job(), waiting, blocked=tried))

    assert line(status) == (
        "Pending",
        "ImagePullBackOff",
        f"the image trainer:1 cannot be pulled, tried 4 times since 2026-11-20T12:00:11Z: {WHY}; "
        "check pod.image and pod.imagePullSecrets",
    )


def test_an_image_that_is_never_pulled_names_its_field() -> None:
    never = {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image is not present with pull policy"}}
    wrong = {"waiting": {"reason": "InvalidImageName", "message": 'Failed to apply default image tag "a:b:c"'}}

    lines = [
        line(compute(parsed(pod={"image": "trainer:1"}), observation(job(), pod(state=each))))
        for each in (never, wrong)
    ]

    where = "check pod.image and pod.imagePullSecrets"
    assert lines == [
        ("Pending", "ErrImageNeverPull", f"the image trainer:1 is not on the node, and is never pulled: {where}"),
        ("Pending", "InvalidImageName", f"the image trainer:1 has a name that is not valid: {where}"),
    ]


SEED = {"name": "seed", "image": {"reference": "registry.corp.example/seed:1"}}
SEED_PULL = 'failed to pull and unpack image "registry.corp.example/seed:1": not found'


@pytest.mark.parametrize(
    ("waiting", "tried"),
    [
        # The container waits for the image of a volume with the very reasons of its own.
        (pulls("ErrImagePull", SEED_PULL), None),
        (
            pulls(
                "ImagePullBackOff", f'Back-off pulling image "registry.corp.example/seed:1": ErrImagePull: {SEED_PULL}'
            ),
            None,
        ),
        (
            pulls("ImagePullBackOff", 'Back-off pulling image "registry.corp.example/seed:1"'),
            Cause("Failed", f'Failed to pull image "registry.corp.example/seed:1": {SEED_PULL}'),
        ),
    ],
)
def test_the_image_of_a_volume_that_cannot_be_pulled_is_not_taken_for_the_trainer_s(
    waiting: dict[str, Any], tried: Cause | None
) -> None:
    spec = parsed(pod={"volumes": [SEED], "volumeMounts": [{"name": "seed", "mountPath": "/mnt/seed"}]})

    status = compute(spec, observation(job(), waiting, blocked=tried))

    assert line(status) == (
        "Pending",
        "ImagePullBackOff",
        "the image registry.corp.example/seed:1 of the volume seed cannot be pulled since 2026-11-20T12:00:11Z: "
        f"{SEED_PULL}; check pod.volumes and pod.imagePullSecrets",
    )


def test_an_image_of_a_volume_without_a_tag_is_known_by_the_name_that_the_runtime_gives_it() -> None:
    seed = {"name": "seed", "image": {"reference": "corp/seed"}}
    spec = parsed(pod={"volumes": [seed], "volumeMounts": [{"name": "seed", "mountPath": "/mnt/seed"}]})
    why = 'failed to pull and unpack image "docker.io/corp/seed:latest": not found'

    message = line(compute(spec, observation(job(), pulls("ErrImagePull", why))))[2]

    assert message.startswith("the image corp/seed of the volume seed cannot be pulled")


def test_an_image_of_a_volume_that_is_never_pulled_names_its_volume() -> None:
    spec = parsed(pod={"volumes": [SEED], "volumeMounts": [{"name": "seed", "mountPath": "/mnt/seed"}]})
    why = 'Container image "registry.corp.example/seed:1" is not present with pull policy of Never'

    status = compute(spec, observation(job(), pulls("ErrImageNeverPull", why)))

    assert line(status)[2] == (
        "the image registry.corp.example/seed:1 of the volume seed is not on the node, and is never pulled: "
        "check pod.volumes and pod.imagePullSecrets"
    )


def test_an_init_container_that_a_webhook_put_in_is_what_the_trainer_waits_for() -> None:
    own = {"waiting": {"reason": "PodInitializing"}}
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "p": ErrImagePull: {WHY}'}}
    again = {"waiting": {"reason": "ErrImagePull", "message": WHY}}
    proxy = [{"name": "proxy", "state": pull}, {"name": "later", "state": own}]
    failed = [{"name": "proxy", "state": {"terminated": {"exitCode": 7, "reason": "Error"}}}]

    lines = [
        line(compute(parsed(), observation(job(), pod(state=own, initContainerStatuses=proxy)))),
        line(
            compute(
                parsed(), observation(job(), pod(state=own, initContainerStatuses=[{"name": "proxy", "state": again}]))
            )
        ),
    ]
    ended = compute(parsed(), observation(job(), pod(state=own, phase="Failed", initContainerStatuses=failed)))

    told = f"the trainer cannot start before this: init container proxy: {WHY}"
    assert lines == [("Pending", "InitContainerFailed", told)] * 2
    assert ended["message"] == "the attempt failed: init container proxy ended with exit code 7; a new one comes"
    assert ended["attempts"][0]["reason"] == "InitContainerFailed"


def test_a_pod_for_which_others_are_preempted_says_so() -> None:
    message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    unscheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]

    status = compute(parsed(), observation(job(), pod(node=None, conditions=unscheduled, nominatedNodeName="n2")))

    assert status["message"] == (
        "pods of lower priority make room for it on node n2; until then no node can take the pod: "
        "of 2 nodes 2 with too few free GPUs (resources.gpus); the scheduler: 2 Insufficient nvidia.com/gpu"
    )


def test_a_claim_that_no_volume_can_be_made_for_is_named_with_its_field() -> None:
    message = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    unscheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    waits = observation(job(), pod(node=None, conditions=unscheduled))
    missing = Cause(
        "ProvisioningFailed",
        'claim yelp-0f9be1d4 (output.storageClassName): storageclass.storage.k8s.io "fast" not found',
    )

    lines = [line(compute(parsed(), each)) for each in (waits, replace(waits, blocked=missing))]

    assert lines == [
        ("Pending", "Unschedulable", "no node can take the pod: a claim of the pod has no volume yet"),
        (
            "Pending",
            "ProvisioningFailed",
            'no volume can be made: claim yelp-0f9be1d4 (output.storageClassName): storageclass.storage.k8s.io "fast" '
            "not found; create the job again with a StorageClass of `kubectl get storageclass`, or create that one",
        ),
    ]


def test_a_pod_without_a_node_is_not_yet_being_started() -> None:
    waits = observation(job(), pod(node=None))

    assert line(compute(parsed(), waits)) == ("Pending", "WaitingForPod", "waiting for the scheduler")


ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [
        (
            "FailedCreate",
            'Error creating: pods "yelp-x7k2p" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1',
            "the pod cannot be created: exceeded quota: small, requested: pods=1, used: pods=1",
        ),
        (
            "FailedCreate",
            'Error creating: pods "yelp-b9zzz" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            'the pod cannot be created: violates PodSecurity "restricted:latest": runAsNonRoot != true',
        ),
        (
            "FailedCreate",
            "Error creating: Internal error occurred: failed calling webhook",
            "the pod cannot be created: Internal error occurred: failed calling webhook",
        ),
        (
            "FailedCreatePodSandBox",
            f'Failed to create pod sandbox: plugin type="calico" failed to set up network for sandbox "{ID}": no IPs',
            "the node cannot set up the pod's network and sandbox: "
            'Failed to create pod sandbox: plugin type="calico" failed to set up network for sandbox "": no IPs',
        ),
    ],
)
def test_a_line_does_not_change_with_names_that_are_new_with_each_try(reason: str, message: str, told: str) -> None:
    status = compute(parsed(), observation(job(), blocked=Cause(reason, message)))

    assert status["message"] == told

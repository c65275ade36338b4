"""What can be done about what keeps a pod from running."""

import pytest
from tests.unit.finetune_operator.samples import job, observation, parsed
from tests.unit.finetune_operator.status.statuses import compute

from finetune_operator.job.observation import Cause

CREATING = 'Error creating: pods "yelp-x7k2p" is forbidden: '
MOUNTING = "MountVolume.SetUp failed for volume"


@pytest.mark.parametrize(
    ("reason", "message", "remedy"),
    [
        (
            "FailedCreate",
            f'{CREATING}error looking up service account team-a/trainer: serviceaccount "trainer" not found',
            "create the ServiceAccount, or create the job again with another one in pod.serviceAccountName",
        ),
        (
            "FailedCreate",
            f"{CREATING}no PriorityClass with name urgent was found",
            "create the PriorityClass, or create the job again with another one in pod.priorityClassName",
        ),
        (
            "FailedCreate",
            f'{CREATING}pod rejected: RuntimeClass "kata" not found',
            "create the RuntimeClass, or create the job again with another one in pod.runtimeClassName",
        ),
        (
            "FailedMount",
            f'{MOUNTING} "secret-model" : secret "s3" not found',
            "create the Secret, or create the job again with another one in model.secretRef and output.secretRef",
        ),
        (
            "FailedMount",
            f'{MOUNTING} "words" : configmap "words" not found',
            "create the ConfigMap, or create the job again with another one in pod.volumes",
        ),
        (
            "CreateContainerConfigError",
            'secret "hub" not found',
            "create the Secret, or create the job again with another one in pod.env",
        ),
        (
            "CreateContainerConfigError",
            "couldn't find key token in Secret team-a/hub",
            "add the key token to it, or create the job again with another key or Secret in pod.env",
        ),
        (
            "FailedMount",
            f'{MOUNTING} "words" : references non-existent config key: de.txt',
            "add the key de.txt to the ConfigMap, or create the job again with other items of it in pod.volumes",
        ),
        (
            "FailedResourceClaimCreation",
            'PodResourceClaim gpus: resource claim template "h200": resourceclaimtemplate.resource.k8s.io "h200" not found',
            "create the ResourceClaimTemplate, or create the job again with another one in "
            "pod.accelerator.resourceClaimTemplateName",
        ),
        (
            "FailedScheduling",
            '0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available',
            "create the PersistentVolumeClaim, or create the job again with another one in dataset.source",
        ),
    ],
)
def test_what_a_pod_names_and_the_namespace_lacks_is_told_with_its_field_and_a_remedy(
    reason: str, message: str, remedy: str
) -> None:
    given = parsed(
        model={"source": "s3://models/base", "secretRef": {"name": "s3"}},
        dataset={"source": "pvc://data/rows"},
        output={"uri": "s3://models/yelp", "secretRef": {"name": "s3"}},
        pod={
            "serviceAccountName": "trainer",
            "priorityClassName": "urgent",
            "runtimeClassName": "kata",
            "accelerator": {"resourceClaimTemplateName": "h200"},
            "volumes": [{"name": "words", "configMap": {"name": "words"}}],
            "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}],
        },
    )

    status = compute(given, observation(job(), blocked=Cause(reason, message)))

    assert status["message"].endswith(f"; {remedy}")


@pytest.mark.parametrize(
    "message",
    [
        f'{MOUNTING} "config" : configmap "yelp-run-0f9be1d4" not found',
        f"{CREATING}exceeded quota: small",
    ],
)
def test_of_what_no_field_of_the_job_names_no_remedy_is_invented(message: str) -> None:
    status = compute(parsed(), observation(job(), blocked=Cause("FailedMount", message)))

    assert "create" not in status["message"].removeprefix("a volume cannot be mounted: ").replace("Error creating", "")
    assert status["message"].endswith(message.removeprefix(CREATING))


def test_a_namespace_whose_own_service_account_is_gone_says_so() -> None:
    message = f'{CREATING}error looking up service account team-a/default: serviceaccount "default" not found'

    status = compute(parsed(), observation(job(), blocked=Cause("FailedCreate", message)))

    assert status["message"] == (
        'the pod cannot be created: error looking up service account team-a/default: serviceaccount "default" not found; '
        "create the ServiceAccount, or create the job again with another one in pod.serviceAccountName"
    )

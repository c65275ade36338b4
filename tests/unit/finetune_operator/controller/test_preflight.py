"""The preflight in a pod of its own: what its pod is, what the status says of it, and what is made when."""

from typing import Any

import pytest
from tests.unit.finetune_operator.controller.world import OWNED, OWNED_POD, World
from tests.unit.finetune_operator.fake_api import refusal
from tests.unit.finetune_operator.samples import (
    LABELS,
    OWNERS,
    POD_DEFAULTS,
    children,
    finetunejob,
    job,
    line,
    merged,
    observation,
    parsed,
    pod,
    received,
    run_file_of,
    running,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import compute

from finetune_api.report import ENV_RETRIES, FinalReport
from finetune_operator.job.names import preflight_job_name
from finetune_operator.job.observation import Cause, Observation
from finetune_operator.kube.client import CONFIG_MAPS, FINETUNEJOBS, JOBS, PODS, PVCS
from finetune_operator.manifests import build_children
from finetune_operator.manifests.run_file import ANNOTATION_RUN

NAME = preflight_job_name("yelp")
POD_POLICY: dict[str, Any] = {"runPolicy": {"preflight": "pod"}}
TABLE = {
    "trainRows": 1000,
    "steps": 375,
    "batchSize": 8,
    "parameters": 108_000_000,
    "trainedParameters": 108_000_000,
    "device": "GPU",
    "memory": {"weights": 1, "gradients": 1, "optimizer": 1, "activations": 1, "checkpoint": 1, "total": 3 * 2**30},
}
WARNING = {"reason": "EmptyTexts", "message": "column 'text' is empty in row 3"}
REPORT = {"sequence": 3, "stage": "Preparing", "message": "tokenizing 1000 rows of split train", "preflight": TABLE}
PASSED = FinalReport.model_validate({"exitCode": 0, "preflight": TABLE, "warnings": [WARNING]}).to_termination_message()
MISTAKE = {"reason": "ColumnNotFound", "message": "there is no column 'txt'", "hint": "columns are text, label"}
FAILED = FinalReport.model_validate({"exitCode": 11, "failure": {**MISTAKE, "exitCode": 11}}).to_termination_message()
ENDED = {"Complete": ("Complete", "", ""), "Failed": ("Failed", "PodFailurePolicy", "exit code 11")}


def manifest(output_bound: bool = False, **spec: Any) -> dict[str, Any]:
    given = parsed(**{**POD_POLICY, **spec})
    assert given.spec is not None
    return build_children(given, given.spec, POD_DEFAULTS, output_bound=output_bound).preflight_job


def checking_job(**others: Any) -> dict[str, Any]:
    """The preflight's Job, as the API holds it."""
    return merged(merged(job(name=NAME, **others), OWNED), {"metadata": {"uid": "preflight-uid"}})


def checking_pod(number: int = 1, **others: Any) -> dict[str, Any]:
    owners = [{"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "preflight-uid", "controller": True}]
    metadata = {"name": f"{NAME}-{number}", "uid": f"check-{number}", "ownerReferences": owners}
    return merged(pod(number, **others), {"metadata": {"labels": OWNED_POD["metadata"]["labels"], **metadata}})


def checked(*pods: dict[str, Any], report: Any = None, **others: Any) -> Observation:
    """What is observed while there is a preflight and no Job that trains."""
    return Observation(preflight=observation(checking_job(**others), *pods, report=report))


def is_about_own_volume(variable: dict[str, Any]) -> bool:
    return "/mnt/volumes/" in variable["value"] or variable["name"] == ENV_RETRIES


def test_the_preflight_is_one_small_hardened_cpu_pod() -> None:
    labels = LABELS | {"app.kubernetes.io/component": "preflight"}

    made = manifest()

    training = children(parsed(**POD_POLICY)).job
    assert made["metadata"] == {
        "name": NAME,
        "namespace": "team-a",
        "labels": labels,
        "ownerReferences": OWNERS,
        "annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": false}'},
    }
    same = ("completions", "parallelism", "suspend", "backoffLimit", "podReplacementPolicy", "podFailurePolicy")
    assert {name: made["spec"][name] for name in same} == {name: training["spec"][name] for name in same}
    template, theirs = made["spec"]["template"], training["spec"]["template"]
    container, their_container = template["spec"]["containers"][0], theirs["spec"]["containers"][0]
    assert template["metadata"] == {"labels": labels, "annotations": {ANNOTATION_RUN: run_file_of(training)}}
    assert container == their_container | {
        "args": ["prepare", "--for-job", "--config", "/etc/finetune/run.yaml"],
        "env": [each for each in their_container["env"] if not is_about_own_volume(each)],
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}},
        "volumeMounts": [each for each in their_container["volumeMounts"] if each["name"] != "claim-0"],
    }
    assert template["spec"] == theirs["spec"] | {
        "containers": [container],
        "volumes": [each for each in theirs["spec"]["volumes"] if each["name"] != "claim-0"],
    }


def test_the_preflight_asks_for_no_queue_and_no_node_that_is_chosen_for_its_gpus() -> None:
    everywhere = {"operator": "Exists", "effect": "NoExecute"}
    made = manifest(
        resources={"gpus": 8, "nodes": 4, "cpu": "0.5", "memory": "256Gi"},
        pod={
            "labels": {"kueue.x-k8s.io/queue-name": "team", "cost": "a"},
            "nodeSelector": {
                "nvidia.com/gpu.product": "H100",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": "z",
            },
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}, everywhere],
            "serviceAccountName": "trainer",
            "imagePullSecrets": [{"name": "pull"}],
            "priorityClassName": "high",
            "env": [{"name": "HF_TOKEN_PATH", "value": "/mnt/token"}],
            "annotations": {"sidecar": "no", "kueue.x-k8s.io/podset-required-topology": "rack"},
        },
    )

    template = made["spec"]["template"]
    pod_spec, container = template["spec"], template["spec"]["containers"][0]
    assert "kueue.x-k8s.io/queue-name" not in {**made["metadata"]["labels"], **template["metadata"]["labels"]}
    assert made["metadata"]["labels"]["cost"] == template["metadata"]["labels"]["cost"] == "a"
    assert template["metadata"]["annotations"] == {"sidecar": "no", ANNOTATION_RUN: run_file_of(made)}
    assert pod_spec["nodeSelector"] == {"kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "z"}
    assert pod_spec["tolerations"] == [everywhere]
    assert (pod_spec["serviceAccountName"], pod_spec["priorityClassName"]) == ("trainer", "high")
    assert pod_spec["imagePullSecrets"] == [{"name": "pull"}]
    assert {"name": "HF_TOKEN_PATH", "value": "/mnt/token"} in container["env"]
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
    assert container["resources"] == {
        "requests": {"cpu": "0.5", "memory": "2Gi"},
        "limits": {"cpu": "0.5", "memory": "256Gi"},
    }
    assert made["spec"]["completions"] == 1
    assert "subdomain" not in pod_spec


def folders(made: dict[str, Any]) -> dict[str, bool]:
    """Each claim that is mounted, and whether it is written to."""
    spec = made["spec"]["template"]["spec"]
    claims = {each["name"]: each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if "persistentVolumeClaim" in each}  # fmt: skip
    mounts = {
        each["name"]: not each["readOnly"] for each in spec["containers"][0]["volumeMounts"] if "readOnly" in each
    }
    return {claim: mounts[name] for name, claim in claims.items()}


def tokens(made: dict[str, Any]) -> str | None:
    env = made["spec"]["template"]["spec"]["containers"][0]["env"]
    return next((each["value"] for each in env if each["name"] == "FINETUNE_TOKENS"), None)


@pytest.mark.parametrize(
    ("output", "bound", "mounted", "place"),
    [
        ({}, False, {"data": False}, None),
        ({"uri": "pvc://models/a%20b/"}, True, {"models": True, "data": False}, "/mnt/volumes/models/a b/.tokens"),
        ({"uri": "pvc://models/a"}, False, {"data": False}, None),
        ({"uri": "pvc://data/out"}, False, {"data": True}, "/mnt/volumes/data/out/.tokens"),
        ({"uri": "s3://bucket/out"}, False, {"data": False}, None),
    ],
)
def test_an_output_that_is_bound_is_mounted_and_takes_the_tokens(
    output: dict[str, Any], bound: bool, mounted: dict[str, bool], place: str | None
) -> None:
    made = manifest(bound, dataset={"source": "pvc://data/rows"}, output=output)

    assert folders(made) == mounted
    assert tokens(made) == place


@pytest.mark.parametrize(
    ("policy", "output", "place"),
    [
        ("pod", {"uri": "pvc://models/a"}, "/mnt/volumes/models/a/.tokens"),
        ("pod", {}, "/mnt/volumes/yelp-0f9be1d4/.tokens"),
        ("inline", {"uri": "pvc://models/a"}, None),
    ],
)
def test_the_training_looks_for_tokens_where_a_preflight_may_have_left_them(
    policy: str, output: dict[str, Any], place: str | None
) -> None:
    given = parsed(runPolicy={"preflight": policy}, output=output)

    assert tokens(children(given).job) == place


def test_no_other_job_has_the_name_of_a_preflight() -> None:
    names = {preflight_job_name(name) for name in ("yelp", "yelp-preflight", NAME, "y" * 253, "a.b")}

    assert len(names) == 5
    assert all(len(name) <= 63 and "." not in name for name in names)


@pytest.mark.parametrize(
    ("observed", "told"),
    [
        (checked(), ("Pending", "WaitingForPod", "preflight: waiting for a pod")),
        (
            checked(pod(state={"waiting": {"reason": "ErrImagePull", "message": "no such tag"}})),
            (
                "Pending",
                "ImagePullBackOff",
                "preflight: the image trainer:1 cannot be pulled: no such tag; "
                "check the operator's default image, or name one in pod.image",
            ),
        ),
        (
            checked(pod(state=running())),
            ("Preparing", "Preflight", "checking model and data before GPUs are asked for"),
        ),
        (
            checked(pod(state=running()), report=received({"report": REPORT})),
            (
                "Preparing",
                "Preflight",
                "checking model and data before GPUs are asked for: tokenizing 1000 rows of split train",
            ),
        ),
        (
            checked(pod(state=terminated(0, "Completed", PASSED))),
            ("Preparing", "Preflight", "model and data are checked; waiting for the preflight's Job to complete"),
        ),
        (
            checked(pod(state=terminated(0, "Completed", PASSED)), end=ENDED["Complete"]),
            (
                "Preparing",
                "PreflightPassed",
                "model and data are ready for the training, which takes about 3.0 GiB on each device; creating the Job",
            ),
        ),
        (
            checked(pod(state=terminated(143))),
            ("Pending", "Retrying", "the preflight was stopped; a new pod comes"),
        ),
        (
            checked(pod(state=terminated(137))),
            ("Pending", "Retrying", "the preflight failed: the trainer was killed (SIGKILL)"),
        ),
        (
            checked(suspend=True, start=None),
            (
                "Queued",
                "WaitingForAdmission",
                "preflight: waiting: the Job is suspended, and not by spec.suspend",
            ),
        ),
    ],
)
def test_the_status_says_how_far_the_preflight_is(observed: Observation, told: tuple[str, str, str]) -> None:
    status = compute(parsed(**POD_POLICY), observed)

    assert line(status) == told
    assert "attempts" not in status
    assert "startTime" not in status


def test_a_preflight_of_a_job_that_is_suspended_waits() -> None:
    status = compute(parsed(**POD_POLICY, suspend=True), checked(suspend=True, start=None))

    assert line(status)[:2] == ("Suspended", "Suspended")


def test_what_the_preflight_reports_is_in_the_status() -> None:
    while_it_runs = compute(parsed(**POD_POLICY), checked(pod(state=running()), report=received({"report": REPORT})))
    at_its_end = compute(
        parsed(**POD_POLICY), checked(pod(state=terminated(0, "Completed", PASSED)), end=ENDED["Complete"])
    )

    assert while_it_runs["preflight"] == at_its_end["preflight"] == TABLE | {
        "evaluationRows": 0, "classCount": 0, "classes": [],
    }  # fmt: skip
    assert at_its_end["warnings"] == [WARNING]


def test_a_mistake_ends_the_job_with_the_trainers_own_words() -> None:
    observed = checked(pod(state=terminated(11, message=FAILED)), end=ENDED["Failed"])
    status = compute(parsed(**POD_POLICY), observed, seconds=100)

    assert line(status) == ("Failed", "ColumnNotFound", "there is no column 'txt'")
    assert status["failure"] == MISTAKE | {"exitCode": 11}
    assert status["completionTime"] == stamp(100)
    assert "attempts" not in status


def test_a_preflight_whose_pod_does_not_run_in_time_ends_the_job() -> None:
    given = parsed(runPolicy={"preflight": "pod", "preRunningDeadlineSeconds": 30})

    status = compute(given, checked(start=1), seconds=32)

    assert line(status)[:2] == ("Failed", "PreRunningDeadlineExceeded")
    assert "no pod ran within 30 s" in line(status)[2]


def test_a_preflight_that_has_reported_is_not_late_when_its_pod_is_replaced() -> None:
    before = {"phase": "Preparing", "progress": {"step": 0}}
    given = parsed(before, runPolicy={"preflight": "pod", "preRunningDeadlineSeconds": 30})

    status = compute(given, checked(start=1), seconds=32)

    assert line(status)[0] == "Pending"


def test_why_no_pod_of_the_preflight_comes_is_reported() -> None:
    observed = Observation(
        preflight=observation(checking_job(), blocked=Cause("FailedCreate", "exceeded quota: pods=0"))
    )

    status = compute(parsed(**POD_POLICY), observed)

    assert status["message"] == "preflight: the pod cannot be created: exceeded quota: pods=0"


@pytest.fixture
def asked(world: World) -> World:
    world.edit(**POD_POLICY)
    return world


async def test_nothing_but_the_preflight_is_made_at_first_and_the_next_pass_costs_nothing(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    first = list(asked.api.requests)
    await asked.see()
    await asked.reconcile()

    assert first == [
        "get jobs",
        "get jobs",
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        "create jobs",
        "replace status of finetunejobs",
    ]
    assert {name for plural, name in asked.api.objects if plural == JOBS.plural} == {NAME}
    assert '"gpus": 1' in run_file_of(asked.api.objects[JOBS.plural, NAME])
    assert asked.api.requests == []


async def test_a_preflight_that_has_passed_lets_the_training_be_made(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.put(PODS, checking_pod(state=terminated(0, "Completed", PASSED)))
    await asked.see()

    await asked.reconcile()

    assert [each for each in asked.api.requests if "networkpolicies" not in each] == [
        *("get configmaps", "create configmaps"),  # the namespace's
        *("create persistentvolumeclaims", "create jobs"),
        "replace status of finetunejobs",
    ]
    assert (JOBS.plural, "yelp") in asked.api.objects
    assert (asked.status()["phase"], asked.status()["message"]) == ("Pending", "waiting for a pod")
    assert asked.status()["preflight"]["trainRows"] == 1000


async def test_a_preflight_that_has_failed_ends_the_job_and_no_training_is_ever_made(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Failed"]))
    asked.api.put(PODS, checking_pod(state=terminated(11, message=FAILED)))
    await asked.see()

    await asked.reconcile()
    await asked.see()
    await asked.reconcile()

    assert (asked.status()["phase"], asked.status()["failure"]["reason"]) == ("Failed", "ColumnNotFound")
    assert (JOBS.plural, "yelp") not in asked.api.objects
    assert (PVCS.plural, "yelp-0f9be1d4") not in asked.api.objects


async def test_the_end_of_a_preflight_that_the_caches_do_not_know_is_read_from_its_pod(asked: World) -> None:
    await asked.see()
    asked.api.put(JOBS, checking_job(end=ENDED["Failed"]))
    asked.api.put(PODS, checking_pod(state=terminated(11, message=FAILED)))

    await asked.reconcile()

    assert asked.status()["failure"]["reason"] == "ColumnNotFound"


async def test_a_preflight_goes_on_though_the_policy_changes(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    asked.edit(runPolicy={"preflight": "inline"})
    await asked.see()

    await asked.reconcile()

    assert (JOBS.plural, "yelp") not in asked.api.objects


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Pending", "startTime": stamp(1)},
        {"phase": "Running", "attempts": [{"number": 1, "pod": "yelp-1", "endTime": stamp(9)}]},
    ],
)
async def test_no_preflight_comes_once_a_training_was_started(world: World, status: dict[str, Any]) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(status, **POD_POLICY))
    await world.see()

    await world.reconcile()

    assert {name for plural, name in world.api.objects if plural == JOBS.plural} == {"yelp"}


async def test_a_preflight_that_somebody_deletes_before_it_has_passed_is_made_again(asked: World) -> None:
    deleted = checking_job()
    deleted["metadata"]["deletionTimestamp"] = stamp(20)
    asked.api.put(JOBS, deleted)
    await asked.see()
    await asked.reconcile()
    waiting = asked.status()["message"]
    del asked.api.objects[JOBS.plural, NAME]
    await asked.see()

    await asked.reconcile()

    assert waiting == "the Job is being deleted; a new one comes"
    assert "create jobs" in asked.api.requests
    assert (JOBS.plural, NAME) in asked.api.objects


async def test_a_job_of_somebody_else_with_the_preflights_name_is_not_taken_over(asked: World) -> None:
    asked.api.put(JOBS, merged(job(), {"metadata": {"name": NAME}}))
    await asked.see()

    await asked.reconcile()

    assert asked.status()["message"].startswith(f"the Job {NAME} is there and was not made for this FineTuneJob")
    assert "create jobs" not in asked.api.requests


async def test_a_suspension_reaches_the_preflight(asked: World) -> None:
    await asked.see()
    await asked.reconcile()
    asked.edit(suspend=True)
    await asked.see()

    await asked.reconcile()

    assert asked.api.objects[JOBS.plural, NAME]["spec"]["suspend"] is True


async def test_a_training_that_is_refused_for_now_is_tried_again_after_its_preflight(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.failures["create persistentvolumeclaims"] = refusal(403, "exceeded quota: storage")
    await asked.see()

    again = await asked.reconcile()

    assert (asked.status()["phase"], asked.status()["message"]) == ("Pending", "exceeded quota: storage")
    assert again is not None
    assert 15 <= again <= 30


async def test_a_training_that_was_refused_after_its_preflight_costs_one_request_and_is_made_when_there_is_room(
    asked: World,
) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.failures["create jobs"] = refusal(403, "exceeded quota: jobs")
    await asked.see()
    await asked.reconcile()
    await asked.see()
    asked.time += 30
    await asked.reconcile()
    refused = [each for each in asked.api.requests if "jobs" in each]
    asked.api.failures.clear()
    asked.time += 60

    await asked.reconcile()

    assert refused == ["create jobs"]
    assert (JOBS.plural, "yelp") in asked.api.objects


async def test_the_output_is_mounted_where_its_claim_is_bound(asked: World) -> None:
    asked.edit(output={"uri": "pvc://models/a"})
    asked.api.put(PVCS, {"metadata": {"name": "models"}, "status": {"phase": "Bound"}})
    await asked.see()

    await asked.reconcile()

    assert folders(asked.api.objects[JOBS.plural, NAME]) == {"models": True}


async def test_both_jobs_get_their_time_to_live_at_the_end(world: World) -> None:
    status = {"phase": "Succeeded", "observedGeneration": 1}
    policy = {"preflight": "pod", "ttlSecondsAfterFinished": 60}
    world.api.put(FINETUNEJOBS, finetunejob(status, runPolicy=policy))
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    world.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    await world.see()

    await world.reconcile()

    assert {
        name: raw["spec"].get("ttlSecondsAfterFinished")
        for (plural, name), raw in world.api.objects.items()
        if plural == JOBS.plural
    } == {"yelp": 60, NAME: 60}


async def test_the_pod_of_a_preflight_is_no_attempt(asked: World) -> None:
    asked.api.put(JOBS, checking_job(end=ENDED["Complete"]))
    asked.api.put(PODS, checking_pod(state=terminated(0, "Completed", PASSED)))
    asked.api.put(JOBS, merged(job(), OWNED))
    asked.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    asked.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-ca", **OWNED["metadata"]}, "data": {"ca.crt": "PEM"}})
    await asked.see()

    await asked.reconcile()

    assert [each["pod"] for each in asked.status()["attempts"]] == ["yelp-1"]
    assert asked.status()["preflight"]["trainRows"] == 1000

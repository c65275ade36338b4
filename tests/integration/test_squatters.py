"""Whoever may create Jobs, Services, claims or policies beside a FineTuneJob decides nothing about it: not by names, labels or owners."""

import json
from typing import Any

import pytest
from tests.integration.fixtures import OperatorProcess, Space, finetunejob, reason_of

from devcluster.testing.api import wait_for
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.names import ANNOTATION_PROOF, LABEL_JOB_NAME, child_names

NOWHERE: dict[str, Any] = {"nodeSelector": {"example.com/nowhere": "here"}}
RESTRICTED: dict[str, Any] = {
    "restartPolicy": "Never",
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    **NOWHERE,
}
CONTAINER: dict[str, Any] = {
    "name": "trainer",
    "image": "stranger",
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}


def squatted(kind: str, owner: dict[str, Any]) -> dict[str, Any]:
    """An object under the name of a child of the FineTuneJob, with its label and a forged, perfect owner reference."""
    name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    names = child_names(name, uid)
    metadata = {
        "labels": {LABEL_JOB_UID: uid, LABEL_JOB_NAME: name},
        "ownerReferences": [
            {"apiVersion": owner["apiVersion"], "kind": "FineTuneJob", "name": name, "uid": uid, "controller": True}
        ],
    }
    pod = {**RESTRICTED, "containers": [CONTAINER]}
    objects: dict[str, tuple[str, str, dict[str, Any]]] = {
        "Job": (
            "batch/v1",
            names.job,
            {"spec": {"template": {"metadata": {"labels": metadata["labels"]}, "spec": pod}}},
        ),
        "NetworkPolicy": (
            "networking.k8s.io/v1",
            names.job,
            {"spec": {"podSelector": {"matchLabels": {LABEL_JOB_UID: uid}}, "ingress": [{}]}},
        ),
        "Service": ("v1", names.service, {"spec": {"selector": {"app": "stranger"}, "ports": [{"port": 80}]}}),
        "PersistentVolumeClaim": (
            "v1",
            names.claim,
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                    "dataSource": {"kind": "PersistentVolumeClaim", "name": "seed"},
                }
            },
        ),
    }
    version, child, content = objects[kind]
    proof = {"annotations": {ANNOTATION_PROOF: "0" * 32}} if kind == "Job" else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": child, **metadata, **proof}, **content}


KINDS = ("Job", "NetworkPolicy", "Service", "PersistentVolumeClaim")
MADE_ANEW = ("NetworkPolicy", "Service")
"""Of what says that it is ours and holds nothing of anybody's."""
NAMED = ("Job", "PersistentVolumeClaim")


@pytest.mark.slow
def test_squatters_under_the_names_of_children_give_way_or_are_named_and_jobs_begin_without_them(space: Space) -> None:
    jobs = {kind: f"squat-{kind[:6].lower()}" for kind in KINDS}
    for kind, name in jobs.items():
        shape = {} if "Claim" in kind else {"output": {"uri": "s3://b/squat"}, "resources": {"gpus": 0, "nodes": 2}}
        # Its profile comes late, so that there is time to take the names.
        space.apply(finetunejob(name, profile="late", suspend=True, pod=NOWHERE, **shape))
    for name in jobs.values():
        space.until(name, lambda status: status.get("phase") == "Pending", "waiting for its profile")
    planted = {kind: squatted(kind, space.get("ftj", name)) for kind, name in jobs.items()}
    space.apply(*planted.values())
    before = {kind: space.get(kind, each["metadata"]["name"]) for kind, each in planted.items()}
    profile = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneProfile", "metadata": {"name": "late"}}
    space.apply({**profile, "spec": space.get("ftp", "default")["spec"]})

    named = lambda status: reason_of(status) == "NameConflict"  # noqa: E731
    blocked = {kind: space.until(jobs[kind], named, "the squatter is named") for kind in NAMED}
    for kind in MADE_ANEW:
        space.until(jobs[kind], lambda status: status.get("phase") == "Suspended", "its Job")
    after = {kind: space.get(kind, each["metadata"]["name"]) for kind, each in planted.items()}
    for kind in NAMED:
        space.kubectl("delete", kind, planted[kind]["metadata"]["name"], "--wait=false")
    begun = [space.until(name, lambda s: s.get("phase") == "Suspended", "its Job") for name in jobs.values()]
    space.kubectl("delete", "ftp", "late")
    space.kubectl("delete", "ftj", *jobs.values())

    assert [
        kind for kind in NAMED if f"the {kind} {planted[kind]['metadata']['name']}" not in blocked[kind]["message"]
    ] == []
    same = ("uid", "ownerReferences", "labels")
    for kind in NAMED:
        assert [after[kind]["metadata"].get(name) for name in same] == [
            before[kind]["metadata"].get(name) for name in same
        ]
        # A claim is bound meanwhile, which adds to both.
        assert before[kind]["metadata"]["annotations"].items() <= after[kind]["metadata"]["annotations"].items()
        assert before[kind]["spec"].items() <= after[kind]["spec"].items()
    for kind in MADE_ANEW:
        assert after[kind]["metadata"]["uid"] != before[kind]["metadata"]["uid"]
        assert [
            after[kind].get(name) == before[kind].get(name) for name in ("spec", "data") if name in before[kind]
        ] == [False]
    assert [each for each in blocked.values() if "attempts" in each] == []
    assert [each["profile"]["name"] for each in begun] == ["late"] * len(KINDS)


def test_who_takes_the_profile_from_the_status_of_a_job_does_not_free_it(space: Space) -> None:
    space.apply(finetunejob("robbed", suspend=True, pod=NOWHERE))
    kept = space.until("robbed", lambda status: status.get("phase") == "Suspended", "its Job")["profile"]
    space.kubectl("patch", "ftj", "robbed", "--subresource=status", "--type=merge", "-p", '{"status":{"profile":null}}')

    restored = space.until("robbed", lambda status: status.get("profile"), "the profile")
    space.kubectl("delete", "ftj", "robbed")

    assert restored["profile"] == kept


def test_what_somebody_writes_into_a_status_decides_nothing_and_is_written_over(space: Space) -> None:
    space.apply(finetunejob("rewritten", suspend=True, pod=NOWHERE))
    kept = space.until("rewritten", lambda status: status.get("phase") == "Suspended", "its Job")
    usage = {"until": "2999-01-01T00:00:00Z", "month": {"month": "2999-01", "gpuSeconds": 0}}
    forged: dict[str, Any] = {
        "phase": "Failed",
        "run": {"number": 7},
        "usage": usage,
        "attempts": [{"number": 1, "pod": "rewritten-x", "podSeconds": 10**9}],
    }
    patch = json.dumps({"status": forged})
    space.kubectl("patch", "ftj", "rewritten", "--subresource=status", "--type=merge", "-p", patch)

    after = space.until("rewritten", lambda status: status == kept, "its own status")
    job = space.get("job", "rewritten")
    space.kubectl("delete", "ftj", "rewritten")

    assert after["run"]["number"] == 1
    assert "deletionTimestamp" not in job["metadata"]


def _report(**fields: Any) -> str:
    return json.dumps({"exitCode": 0, **fields})


def _end_pod(space: Space, job: str, phase: str, code: int, message: str) -> None:
    """Write what a kubelet would of a pod that has ended so."""
    pod = wait_for(lambda: space.list("pods", f"{LABEL_JOB_NAME}={job}"), bool, f"the pod of {job}")[0]
    times = {"startedAt": "2026-11-20T12:00:00Z", "finishedAt": "2026-11-20T12:00:01Z"}
    ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message, **times}
    container = {"name": "trainer", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": phase, "containerStatuses": [{**container, "state": {"terminated": ended}}]}
    space.kubectl(
        "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "--patch-file=/dev/stdin",
        stdin=json.dumps({"status": status}),
    )  # fmt: skip


HOSTILE: dict[str, str] = {
    "no-report": "\x1b[31m\u202e" + "{" * 4000,
    "nan": '{"exitCode": 0, "progress": {"step": NaN, "percent": Infinity}, "metrics": [{"name": "loss", "value": "NaN"}]}',
    "nested": '{"exitCode": 0, "progress": ' + "[" * 2000 + "]" * 2000 + "}",
    "huge": _report(failure={"reason": "X" * 5000, "message": "y" * 200_000}),
    "elsewhere": _report(model={"uri": "s3://attacker/model", "digest": "sha256:" + "0" * 64, "sizeBytes": 1}),
    "times": _report(checkpoints=[{"step": 1, "uri": "pvc://x/y", "time": "0001-01-01T00:00:00+14:00"}]),
    "numbers": _report(progress={"step": 10**40, "etaSeconds": -(10**30), "percent": 10**9}),
    "breaks": _report(failure={"reason": "A\nB", "message": "\u2028one\r\n\u202etwo\u0007", "hint": "\x1b[2J"}),
}
"""Of containers that ended with code 1, whatever they say."""


@pytest.mark.slow
def test_no_final_word_of_a_pod_shows_what_it_must_not_or_keeps_its_job_or_another_from_ending(
    space: Space, operator_process: OperatorProcess
) -> None:
    for name in HOSTILE:
        space.apply(finetunejob(f"word-{name}", pod=NOWHERE, runPolicy={"backoffLimit": 0}))
    space.apply(finetunejob("well-behaved", pod=NOWHERE))
    for name, message in HOSTILE.items():
        _end_pod(space, f"word-{name}", "Failed", 1, message)
    _end_pod(space, "well-behaved", "Succeeded", 0, _report())

    ends = {name: space.end_of(f"word-{name}") for name in HOSTILE}
    well = space.end_of("well-behaved")
    space.kubectl("delete", "ftj", "well-behaved", *(f"word-{name}" for name in HOSTILE))

    assert {name: end["phase"] for name, end in ends.items()} == dict.fromkeys(HOSTILE, "Failed")
    assert well["phase"] == "Succeeded"
    shown = json.dumps(ends, ensure_ascii=False)
    assert "attacker" not in json.dumps([[end.get("model"), end.get("checkpoints")] for end in ends.values()])
    assert [each for each in shown if ord(each) < 32 or each in "\u202e\u2028\x7f"] == []
    assert max(len(json.dumps(end)) for end in ends.values()) < 24 * 1024
    assert "Traceback" not in operator_process.log.read_text()

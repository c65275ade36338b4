"""Whatever the API server lets through, and whatever somebody writes into a status, is never an exception of ours."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.finetune_operator.samples import (
    START,
    UID,
    at,
    by_pod,
    finetunejob,
    job,
    pod,
    received,
    running,
    terminated,
)

from devcluster.apiserver.schemas.validation import validate
from finetune_api.report import Report, ReportBody, TrainerStatus
from finetune_api.well_known import LABEL_INDEX, LABEL_JOB_UID, LABEL_QUEUE
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.names import ANNOTATION_REQUESTED
from finetune_operator.job.observation import Observation
from finetune_operator.job.ownership import controller, job_as_owner
from finetune_operator.job.parse_children import has_ended, parse_job, parse_pods, trim_job, trim_pod
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.report import NotAReport, parse_body
from finetune_operator.manifests import build_children
from finetune_operator.manifests.job import changes, changes_after_the_end
from finetune_operator.reports.latest import LatestReports
from finetune_operator.status.announcements.job_event import job_event
from finetune_operator.status.change import compare, to_manifest
from finetune_operator.status.compute import compute

CRD = yaml.load((Path(__file__).parents[4] / "crds" / "finetunejobs.yaml").read_text(), Loader=yaml.CSafeLoader)
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema lets through; CEL and patterns are left aside, so these are too many."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(-5, 2**40) | st.text(max_size=8)
    least, most = schema.get("minimum"), schema.get("maximum")
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = schema.get("required", [])
            fields = {name: values(child) for name, child in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: fields[name] for name in required},
                optional={name: fields[name] for name in fields if name not in required},
            )
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return st.dictionaries(st.text(max_size=6), values(schema["additionalProperties"]), max_size=3)
        case "array":
            return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
        case "string":
            words = st.sampled_from(["org/name", "pvc://claim/x", "2026-11-20T12:00:00Z", "0.5", "Error", "True"])
            return words | st.text(max_size=8)
        case "integer":
            return st.integers(least, most)
        case "number":
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case _:
            return junk_values


junk_values = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(st.text(max_size=3), max_size=2)
)
specs = values(SCHEMA["spec"])
quantities = st.sampled_from(["1", "500m", "16Gi", "1e3"]) | st.integers(1, 64)
sources = st.sampled_from(["org/name", "pvc://claim.v1/x", "file:///data", "pvc://c"])
good_specs = st.fixed_dictionaries(
    {
        "task": st.just("text-classification"),
        "model": st.fixed_dictionaries({"source": sources}),
        "dataset": st.fixed_dictionaries({"source": sources, "train": st.just({"split": "train"})}),
    },
    optional={
        "training": st.fixed_dictionaries(
            {},
            optional={
                "epochs": st.floats(0.01, 10_000),
                "arguments": st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), junk_values),
            },
        ),
        "output": st.fixed_dictionaries(
            {}, optional={"size": quantities, "retentionPolicy": st.sampled_from(["Retain", "Delete"])}
        )
        | st.just({"uri": "pvc://out/x"}),
        "resources": st.fixed_dictionaries(
            {}, optional={"gpus": st.integers(0, 1), "cpu": quantities, "memory": quantities}
        ),
        "suspend": st.booleans(),
        "runPolicy": values(SCHEMA["spec"]["properties"]["runPolicy"]),
        "checkpoints": st.fixed_dictionaries({"keep": st.integers(1, 16)}),
    },
)
statuses = values(SCHEMA["status"])
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(SCHEMA["status"]["properties"])), inner, max_size=4)
    ),
    max_leaves=8,
)
times = st.sampled_from(
    [
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "1969-12-31T23:59:59Z",
        "",
        "now",
        "2026-11-20T12:00:00Z",
        "8999-12-31T23:59:59+14:00",
        "8999-12-31T23:59:59-23:59",
        "2026-11-20T12:00:00",
        "1970-01-01T00:00:00-14:00",
        "-1",
        "1e30",
        "NaN",
    ]
)
numbers = st.sampled_from([-(10**30), -1, 0, 1, 1.5, 101, 2**31, 3_153_600_001, 2**53, 2**63, 10**30, 1e300, True])
odd = st.recursive(
    st.none() | times | numbers | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def oddly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object of which some fields, at any depth, are not as they should be."""

    @st.composite
    def changed(draw: st.DrawFn) -> Any:
        value = draw(good)
        for _ in range(draw(st.integers(0, 2))):
            place = value
            while isinstance(place, dict) and place:
                name = draw(st.sampled_from(sorted(place)))
                inner = place[name][0] if isinstance(place[name], list) and place[name] else place[name]
                if not (isinstance(inner, dict) and inner) or draw(st.booleans()):
                    place[name] = draw(odd)
                    break
                place = inner
        return value

    return changed()


final_reports = (
    st.text(max_size=40)
    | junk.map(json.dumps)
    | statuses.map(lambda status: json.dumps({"exitCode": 0, **status}))
    | oddly(statuses.map(lambda status: {"exitCode": 1, **status})).map(json.dumps)
    | st.sampled_from(["[" * 2000 + "]" * 2000, '{"exitCode":1,"x":' * 200 + "1" + "}" * 200])
)
trainer_reports = st.builds(lambda state: {"report": {"sequence": 1, "stage": "Training", **state}}, statuses)
stock_reports = st.fixed_dictionaries(
    {
        "trainerStatus": st.fixed_dictionaries(
            {"progressPercentage": st.integers(0, 100), "estimatedRemainingSeconds": numbers, "lastUpdatedTime": times}
        )
    }
)
reports = oddly(trainer_reports | stock_reports)

thorough = settings(
    max_examples=3 * settings().max_examples // 2,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


REPORT = ReportBody.model_validate({"report": {"sequence": 1, "stage": "Training"}})


def observations(word: str, body: ReportBody = REPORT, unread: str = "") -> list[Observation]:
    told = by_pod(replace(received({}, 2), body=body))
    pods = [
        parse_pods([pod()], told),
        parse_pods([pod(state=running())], told),
        parse_pods([pod(state=terminated(1, message=word)), pod(2, state=running())], told),
    ]
    ends = [None, ("Complete", "", ""), ("Failed", "BackoffLimitExceeded", "")]
    observed = [Observation(job=parse_job(job(end=end)), pods=each, unread=unread) for end in ends for each in pods]
    return [Observation(), *observed]


def everything(raw: dict[str, Any], word: str = "", body: ReportBody = REPORT, unread: str = "") -> None:
    """All that is pure of a pass, for all that may be observed; what comes of it is what the API server takes."""
    parsed = parse_finetunejob(raw)
    if parsed.spec is not None:
        json.dumps(build_children(parsed, parsed.spec, PodDefaults("i", "https://o", "PEM")).job)
        changes(None, parsed.spec)
        changes_after_the_end(None, parsed.spec)
    for observed in observations(word, body, unread):
        status = compute(parsed, observed, at(3600)).status
        if parsed.spec is not None and not parsed.terminal and observed.job and observed.job.end:
            assert status.phase == ("Succeeded" if observed.job.end.succeeded else "Failed")
        compare(parsed.status, status)
        job_event(parsed, status, START + timedelta(hours=1))
        written = json.loads(json.dumps(to_manifest(status)))
        again = parse_finetunejob({**raw, "status": written})
        assert to_manifest(again.status) == written
        assert validate(written, SCHEMA["status"]) == []


@pytest.mark.slow
@thorough
@given(specs)
def test_any_spec_of_the_schema(spec: dict[str, Any]) -> None:
    everything({**finetunejob(), "spec": spec})


@pytest.mark.slow
@thorough
@given(good_specs, st.none() | statuses)
def test_any_good_spec_with_any_status(spec: dict[str, Any], status: dict[str, Any] | None) -> None:
    raw = {**finetunejob(status), "spec": spec}

    assert parse_finetunejob(raw).problems == ""
    everything(raw)


@pytest.mark.slow
@thorough
@given(statuses, final_reports)
def test_any_status_of_the_schema_and_any_final_report(status: dict[str, Any], word: str) -> None:
    everything(finetunejob(status), word)


@pytest.mark.slow
@thorough
@given(junk, final_reports)
def test_any_nonsense_in_the_status(status: Any, word: str) -> None:
    everything({**finetunejob(), "status": status}, word)


@pytest.mark.slow
@thorough
@given(reports, final_reports)
def test_any_report_and_any_final_report_let_the_job_end_as_the_job_says(told: Any, word: str) -> None:
    try:
        body, unread = parse_body(json.dumps(told).encode()), ""
    except NotAReport as error:
        body, unread = REPORT, str(error)

    everything(finetunejob(), word, body, unread)


@thorough
@given(reports)
def test_any_report_that_is_taken_is_kept_as_it_came(told: Any) -> None:
    try:
        body = parse_body(json.dumps(told).encode())
    except NotAReport:
        return
    came, kept = replace(received({}), body=body), LatestReports()

    kept.take(came)

    assert dict(kept.received) == {came.pod_uid: replace(came, unbroken_since=came.time)}


@thorough
@given(times, times, times, numbers)
def test_any_times_and_numbers_of_pods_and_jobs(first: str, second: str, third: str, number: Any) -> None:
    ended = {"exitCode": number, "startedAt": first, "finishedAt": second, "message": "", "reason": "Error"}
    raw_pod = pod(state={"terminated": ended})
    raw_pod["metadata"]["creationTimestamp"] = third
    raw_job = job(end=("Failed", "BackoffLimitExceeded", ""))
    raw_job["status"] |= {"startTime": first, "completionTime": second}
    raw_job["status"]["conditions"][0]["lastTransitionTime"] = third
    observed = Observation(job=parse_job(raw_job), pods=parse_pods([raw_pod]))

    status = compute(parse_finetunejob(finetunejob()), observed, at(3600)).status

    assert status.phase == "Failed"
    assert validate(json.loads(json.dumps(to_manifest(status))), SCHEMA["status"]) == []


@pytest.mark.parametrize("word", ["", json.dumps({"exitCode": 1, "model": {"uri": "pvc://c/x"}})])
@pytest.mark.parametrize("index", ["0", "3"])
def test_what_a_cache_keeps_of_jobs_and_pods_says_all_that_is_read_of_them(word: str, index: str) -> None:
    noise = {"annotations": {"a": "x" * 9}, "labels": {"b": "y", LABEL_JOB_UID: UID, LABEL_INDEX: index}}
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}
    owners = {"ownerReferences": [reference]}
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "Evicted", "message": "m"}]
    for state in (None, running(), terminated(1, message=word), {"waiting": {"reason": "ErrImagePull"}}):
        raw = pod(state=state, conditions=conditions, reason="r", message="m")
        raw["metadata"] |= noise | owners
        raw["spec"] |= {"volumes": [{"name": "v"}]}
        raw["spec"]["containers"][0] |= {"env": [{"name": "A", "value": "x" * 9}]}
        kept = trim_pod(raw)

        assert parse_pods([kept]) == parse_pods([raw])
        assert controller(kept) == controller(raw) == job_as_owner("yelp", "job-uid")
        assert has_ended(kept) == has_ended(raw)
        assert "x" * 9 not in json.dumps(kept)
    raw_job = job(suspend=True, end=("Failed", "DeadlineExceeded", "late"))
    raw_job["metadata"] |= {"annotations": {ANNOTATION_REQUESTED: "{}"}, "labels": {LABEL_QUEUE: "q"}, **owners}
    raw_job["spec"] |= {"template": {}}

    assert parse_job(trim_job(raw_job)) == parse_job(raw_job)
    assert trim_job(raw_job)["spec"]["template"] == {"spec": {"containers": []}}


def test_what_cannot_be_digested_after_all_is_a_warning_and_the_job_ends() -> None:
    stock = TrainerStatus.model_construct(progress_percentage=10**6, estimated_remaining_seconds=None, metrics=[])
    observed = observations("", ReportBody.model_construct(trainer_status=stock))[-1]

    status = compute(parse_finetunejob(finetunejob()), observed, at(3600)).status

    assert status.phase == "Failed"
    assert [(each.reason, each.message) for each in status.warnings] == [
        ("ReportNotUnderstood", "what the trainer reported could not be read and was left out: pod yelp-2: all of it")
    ]


@pytest.mark.parametrize("end", [None, ("Failed", "BackoffLimitExceeded", "")])
def test_whatever_fails_over_a_report_costs_the_report_and_not_the_status(end: tuple[str, str, str] | None) -> None:
    broken = Report.model_construct(sequence=1, stage="Training", metrics=None, checkpoints=7)
    told = by_pod(replace(received({}), body=ReportBody.model_construct(report=broken)))
    observed = Observation(job=parse_job(job(end=end)), pods=parse_pods([pod(state=running())], told))

    status = compute(parse_finetunejob(finetunejob()), observed, at(3600)).status

    assert status.phase == ("Failed" if end else "Preparing")
    assert [(each.reason, each.message) for each in status.warnings] == [
        (
            "ReportNotUnderstood",
            "what the trainer reported could not be read and was left out: all of it (TypeError)",
        )
    ]
